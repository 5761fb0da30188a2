"""`python -m bench.peers.nginx --dir DIR`: nginx with mutual TLS 1.3 that answers a fixed key to every request.

It does nothing that a key management entity must do, so its rate is the most that TLS, HTTP and the load generator
leave on this machine.
"""

import argparse
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from bench.measure import Failed, Missing
from bench.peers import certificates

_PLACES = ("/usr/sbin/nginx", "/usr/local/sbin/nginx")
_START_S = 10.0
_ANSWER = json.dumps({"keys": [{"key_ID": "00000000-0000-4000-8000-000000000000", "key": "A" * 43 + "="}]})
_CONFIGURATION = """
daemon off; worker_processes 2; pid {folder}/nginx.pid; error_log stderr;
events {{ worker_connections 1024; }}
http {{
  access_log off; default_type application/json; keepalive_requests 100000000; server_tokens off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/t1; fastcgi_temp_path {folder}/t2;
  uwsgi_temp_path {folder}/t3; scgi_temp_path {folder}/t4;
  server {{
    listen 127.0.0.1:{ports[0]} ssl backlog=512; listen 127.0.0.1:{ports[1]} ssl backlog=512;
    ssl_protocols TLSv1.3; ssl_session_tickets off; ssl_verify_client on;
    ssl_certificate {folder}/pki/kme.pem; ssl_certificate_key {folder}/pki/kme.key;
    ssl_client_certificate {folder}/pki/ca.pem;
    location / {{ return 200 '{answer}'; }}
  }}
}}
"""


def program() -> str:
    """Return where nginx is. Raises `Missing`."""
    found = shutil.which("nginx") or next((place for place in _PLACES if Path(place).exists()), None)
    if found is None:
        raise Missing("no nginx, which shows the ceiling (on Debian: apt-get install nginx-light)")
    return found


def free_ports(count: int) -> tuple[int, ...]:
    """Return loopback ports that nobody listened on just now."""
    holders = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = tuple(int(holder.getsockname()[1]) for holder in holders)
    for holder in holders:
        holder.close()
    return ports


def wait_listening(port: int, child: subprocess.Popen[bytes]) -> None:
    """Wait until somebody listens on the loopback `port`. Raises `Failed` where `child` ends first or is late."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and child.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise Failed(f"nobody listens on port {port}")


def main() -> int:
    """Run it until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers.nginx", description=__doc__.partition("\n")[0])
    parser.add_argument("--dir", type=Path, required=True)
    folder = parser.parse_args().dir.absolute()
    ca, ports = certificates.issue(folder / "pki", ("kme", "sae-1", "sae-2")), free_ports(2)
    (folder / "nginx.conf").write_text(_CONFIGURATION.format(folder=folder, ports=ports, answer=_ANSWER))
    child = subprocess.Popen([program(), "-p", str(folder), "-c", str(folder / "nginx.conf")])  # noqa: S603  # written above
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    wait_listening(ports[0], child)
    kmes = [{"id": f"kme-{n}", "url": f"https://127.0.0.1:{port}", "pid": child.pid} for n, port in enumerate(ports, 1)]
    saes = [{"id": f"sae-{n}", "cert": f"{folder}/pki/sae-{n}.pem", "key": f"{folder}/pki/sae-{n}.key",
             "kme": f"kme-{n}"} for n in (1, 2)]  # fmt: skip
    (folder / "lab.json").write_text(json.dumps({"ca": str(ca), "kmes": kmes, "saes": saes}))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    return child.wait()


if __name__ == "__main__":
    sys.exit(main())
