"""The catalogues of what the bot says: LANGUAGE/chorus.po. Read by bot.i18n, kept up to date by extract."""
