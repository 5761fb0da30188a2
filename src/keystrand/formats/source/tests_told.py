"""Which source is test code, by where it stands and what it is called."""

import re

_FOLDERS = re.compile(
    r"(?i)(?:^|/)(?:tests?|testing|__tests__|spec|specs|unittests?|test[-_](?:suite|data|fixtures?)|testsuite|fixtures?"
    r"|[\w.-]+\.tests?|testlib|test-?support|integration[-_]?tests?|e2e|src/(?:test|androidTest|testFixtures|it))/"
)
_NAMES = re.compile(
    r"(?:^|/)(?:test_[^/]*\.py|[^/]*_tests?\.(?:py|go|rs|c|cc|cpp)|conftest\.py|tests?\.(?:py|rs|js|ts|c)"
    r"|[^/]*(?:Tests?|TestCase|Spec|IT)\.(?:java|cs|kt)|Test[A-Z][^/]*\.(?:java|cs)"
    r"|[^/]*\.(?:test|spec)\.(?:[cm]?[jt]sx?)|[^/]*[-_]test\.(?:c|cc|cpp|js|ts)|test[-_][^/]*\.(?:c|cc|cpp|js|ts))$"
)


def is_test(path: str) -> bool:
    """Return whether the file at `path` is test code by the customs of the nine languages."""
    return bool(_FOLDERS.search(path) or _NAMES.search(path))
