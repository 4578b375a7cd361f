"""The wheel's native part: built where it can be, left out where not."""

from __future__ import annotations

import runpy
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUILD = Path("inference/local/native/build.py")


class NativeStep(BuildHookInterface[Any]):
    """Compiles the native step into the source tree, from where wheels and editable installations take it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        builder = runpy.run_path(str(Path(self.root) / BUILD))
        try:
            library = builder["build"](builder["LIBRARY"])
        except builder["BuildError"] as error:
            self.app.display_warning(f"The native step is left out, and models will be slower: {error}")
            return
        build_data["pure_python"] = False
        build_data["artifacts"].append(f"/{library.relative_to(self.root)}")
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"  # called through ctypes: any Python 3
