"""The reader of configuration files: lines, YAML, Terraform."""

from keystrand.formats.config_lines import may_be_lines, read_lines
from keystrand.formats.config_terraform import may_be_terraform, read_terraform
from keystrand.formats.config_yaml import may_be_yaml, read_yaml
from keystrand.model.reading import FileReader, Reading


def _wants(path: str, head: bytes) -> bool:
    return b"\0" not in head and (may_be_lines(path) or may_be_yaml(path) or may_be_terraform(path))


def _read(path: str, content: bytes) -> Reading:
    if may_be_terraform(path):
        return read_terraform(path, content)
    if may_be_yaml(path):
        return read_yaml(path, content)
    return read_lines(path, content)


CONFIG = FileReader("config", _wants, _read)
"""What programs are told to speak. A setting that is not there is not reported: its default is the program's."""
