"""Compile every ``ext/**/*.pyx``.  Everything static is in pyproject.toml.

``PENSTOCK_HOTPATH``    ``compiled``: fail if it cannot be built; ``pure``: build nothing;
                        unset or ``auto``: build if possible, else ship the pure twin only.
``PENSTOCK_DEBUG=1``    Cython assertions, bounds checks and C asserts on, ``-O0 -g3``.
"""

import os
import sys
from pathlib import Path

from setuptools import Extension, setup

MODE = os.environ.get("PENSTOCK_HOTPATH") or "auto"
DEBUG = os.environ.get("PENSTOCK_DEBUG") == "1"
if MODE not in ("auto", "compiled", "pure"):
    raise SystemExit(f"PENSTOCK_HOTPATH must be 'auto', 'compiled' or 'pure', not {MODE!r}")

MACROS: list[tuple[str, str | None]] = [] if DEBUG else [("CYTHON_WITHOUT_ASSERTIONS", "1")]
FLAGS = ["-O0", "-g3", "-UNDEBUG"] if DEBUG else ["-O3"]
DIRECTIVES = {
    "language_level": "3",
    # Methods as CPython's own classes have them: 6 ns less for each call than Cython's functions.
    # The signature then comes from the docstring, as inspect.signature() knows it.
    "binding": False,
    "embedsignature": True,
    "embedsignature.format": "clinic",
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
    "nonecheck": DEBUG,
}
#: Holds the settings of the last build.  With others, every module has to be built again, which
#: neither Cython nor setuptools would notice.
SETTINGS = Path("build/settings.txt")


def settings_changed() -> bool:
    """Note the settings of this build; return whether the last one had others."""
    settings = repr((MACROS, FLAGS, DIRECTIVES))
    if SETTINGS.exists() and SETTINGS.read_text() == settings:
        return False
    SETTINGS.parent.mkdir(exist_ok=True)
    SETTINGS.write_text(settings)
    return True


def extensions() -> list[Extension]:
    from Cython.Build import cythonize

    modules: list[Extension] = cythonize(
        [
            Extension(
                ".".join(source.relative_to("ext").with_suffix("").parts),
                [str(source)],
                define_macros=MACROS,
                extra_compile_args=FLAGS,
            )
            for source in sorted(Path("ext").rglob("*.pyx"))
        ],
        include_path=["ext"],
        build_dir="build/cython",
        compiler_directives=DIRECTIVES,
        force=settings_changed(),
    )
    for module in modules:
        module.optional = MODE == "auto"  # must be set here: cythonize() drops it
    return modules


BUILD = MODE == "compiled" or (MODE == "auto" and sys.implementation.name == "cpython")
setup(ext_modules=extensions() if BUILD else [])
