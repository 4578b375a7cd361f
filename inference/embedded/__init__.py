"""The small chat model that ships with Chorus, in `model/`: loaded like any other local folder."""
