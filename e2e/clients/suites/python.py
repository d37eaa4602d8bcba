"""The tests that a Python library ships, on any server: python.py LIBRARY DIRECTORY SCENARIO HOST PORT. Prints what became of each."""

import contextlib
import os
import sys

import pytest


class Outcomes:
    """Of a test that fails in more than one of its phases, the last failure."""

    def __init__(self):
        self.all = {}

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or report.outcome != "passed":
            self.all[report.nodeid] = report.outcome


def chosen(library, host, port):
    """Those that talk to a server, at the one place the server has."""
    if library == "pymemcache":
        import pymemcache.test.test_integration as tests

        return [tests.__file__, "-m", "integration", "--server", host, "--port", port]
    if library == "bmemcached":
        names = ["simple_functions", "compression", "pickler", "raw_data", "errors"]
        # it is about two servers
        return [f"test_{name}.py" for name in names] + ["--deselect=test_raw_data.py::DistributedRawDataTests"]
    if library == "pylibmc":
        return ["tests"]
    raise ValueError(library)


library, directory, _, host, port = sys.argv[1:]
os.environ.update(MEMCACHED_SERVER=f"{host}:{port}", MEMCACHED_HOST=host, MEMCACHED_PORT=port)
os.chdir(directory)
sys.path.insert(0, directory)
outcomes = Outcomes()
plain = ["-c", os.devnull, "--rootdir", directory, "-q", "-p", "no:cacheprovider", "-W", "ignore"]
# what pytest says has times and addresses in it; it is of use to who looks for the reason of a failure
with contextlib.redirect_stdout(sys.stderr if os.environ.get("VERBOSE") else open(os.devnull, "w")):
    status = pytest.main(plain + chosen(library, host, port), plugins=[outcomes])
if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
    sys.exit(f"pytest: {status!r}")
for test, outcome in outcomes.all.items():
    print(f"{test.split('/')[-1]}: {outcome}")
