"""Build the site: stage its pages, and let zensical check and render them.

Run by `make docs`. Nothing comes from the network, and a warning is an error.
"""

import os
import shutil
import subprocess
import sys

from _stage import ROOT, STAGE, stage_examples, stage_pages

SITE, CACHE = STAGE.with_name("site"), STAGE.with_name(".cache")


def main() -> None:
    os.environ.setdefault("MPLBACKEND", "Agg")  # of the processes that run examples
    for folder in (STAGE, SITE, CACHE):
        shutil.rmtree(folder, ignore_errors=True)
    stage_pages()
    stage_examples()
    shutil.copy(ROOT / "docs/zensical.toml", STAGE.parent)
    zensical = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", "zensical.toml"]
    subprocess.run(zensical, cwd=STAGE.parent, check=True)
    print(f"The site is in the folder\n{SITE}")


if __name__ == "__main__":
    main()
