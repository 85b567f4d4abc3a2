"""Which packages are installed; all else stands in setup.cfg."""
from setuptools import find_namespace_packages, setup

PROGRAMS = "ademxapp.programs"  # what tools/ is called where it is installed, as `tools` would be anybody's
WEIGHTS = "ademxapp.models"  # what models/ is called there
setup(package_dir={PROGRAMS: "tools", WEIGHTS: "models"},
      packages=[*find_namespace_packages(include=["ademxapp*", "iclass*", "issegm*"]), PROGRAMS, WEIGHTS,
                *(f"{PROGRAMS}.{name}" for name in find_namespace_packages("tools"))])
