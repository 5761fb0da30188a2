"""All readers of other tools' results, in the order in which they are asked; each knows its own by the content."""

from keystrand.formats import (
    cyclonedx_read,
    cyclonedx_xml,
    report_key_services,
    report_nmap,
    report_pkcs11,
    report_sarif,
    report_ssh_audit,
    report_sslyze,
    report_testssl,
    report_zgrab,
)
from keystrand.model.reading import FileReader

REPORT_READERS: tuple[FileReader, ...] = (
    report_sslyze.READER,
    report_nmap.READER,
    report_testssl.READER,
    report_ssh_audit.READER,
    report_zgrab.READER,
    report_sarif.READER,
    cyclonedx_read.READER,
    cyclonedx_xml.READER,
    report_key_services.READER,
    report_pkcs11.READER,
)
