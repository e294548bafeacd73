"""slapd, OpenLDAP's server, on a loopback port of its own, as an unprivileged process."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path

from rvoip.test.interop.addresses import free_port
from rvoip.test.interop.processes import Process, peer, run, until
from rvoip.testing.certificates import Authority
from rvoip.users.passwords import ha1_set

__all__ = ["BASE", "Slapd"]

BASE = "dc=example,dc=test"
ADMIN = f"cn=admin,{BASE}"
PASSWORD = "dir-pw"

_CONFIG = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
attributetype ( 1.3.6.1.4.1.32473.1.1 NAME 'sipHa1Md5' SINGLE-VALUE SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 )
attributetype ( 1.3.6.1.4.1.32473.1.2 NAME 'sipHa1Sha256' SINGLE-VALUE SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 )
objectclass ( 1.3.6.1.4.1.32473.2.1 NAME 'sipPhone' AUXILIARY MAY ( sipHa1Md5 $ sipHa1Sha256 ) )
pidfile {folder}/slapd.pid
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
disallow bind_anon
require authc
database mdb
maxsize 10485760
suffix "{base}"
rootdn "{admin}"
rootpw {password}
directory {folder}/db
"""


class Slapd:
    """A directory with an entry a user, with HA1s as sipHa1Md5 and sipHa1Sha256; it wants a login."""

    def __init__(self, folder: Path, host: str, passwords: Mapping[str, str], realm: str) -> None:
        program = peer("slapd")
        self.host = host
        self.port, self.tls_port = free_port(host), free_port(host)
        self._place = Path(tempfile.mkdtemp(prefix="slapd-"))
        (self._place / "db").mkdir()
        authority = Authority("directory authority")
        self.ca = folder / "directory-ca.pem"
        self.ca.write_bytes(authority.certificate_pem)
        certificate, key = authority.issue(host).write(self._place, "directory")
        config = self._place / "slapd.conf"
        config.write_text(
            _CONFIG.format(
                folder=self._place,
                certificate=certificate,
                key=key,
                base=BASE,
                admin=ADMIN,
                password=PASSWORD,
            )
        )
        entries = [f"dn: {BASE}\nobjectClass: domain\ndc: example\n"]
        for user, password in passwords.items():
            found = ha1_set(user, realm, password)
            entries.append(
                f"dn: uid={user},{BASE}\nobjectClass: inetOrgPerson\nobjectClass: sipPhone\nuid: {user}\n"
                f"cn: {user}\nsn: {user}\nsipHa1Md5: {found.md5}\nsipHa1Sha256: {found.sha256}\n"
            )
        ldif = self._place / "entries.ldif"
        ldif.write_text("\n".join(entries))
        done = run([program, "-T", "add", "-f", str(config), "-l", str(ldif)], folder)
        assert done.returncode == 0, done
        self._command = [program, "-f", str(config), "-d", "0"]
        self._command += ["-h", f"ldap://{host}:{self.port} ldaps://{host}:{self.tls_port}"]
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            for path in (self._place, *self._place.rglob("*")):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)
            self._command += ["-u", "nobody", "-g", str(nobody.pw_gid)]
        self._folder = folder
        self.start()

    def start(self) -> None:
        """Start it, or start it again."""
        self.process = Process("slapd", self._command, self._folder)
        until(self._listens, "slapd listens")

    def _listens(self) -> bool:
        try:
            socket.create_connection((self.host, self.port), 1).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """End it; its entries stay."""
        self.process.stop()

    def close(self) -> None:
        """End it, and forget all."""
        self.process.kill()
        shutil.rmtree(self._place, ignore_errors=True)

    def tables(self, way: str = "ldaps", password: str = PASSWORD) -> dict[str, str]:
        """What a role's configuration says of it; `way` is "ldaps", "start_tls" or "plain"."""
        url = f"ldaps://{self.host}:{self.tls_port}" if way == "ldaps" else f"ldap://{self.host}:{self.port}"
        return {
            "users": f'store = "sqlite:users.db"\nsource = "{url}"\nttl = 0.5\nnegative_ttl = 0.5',
            "users.ldap": f'base = "{BASE}"\nbind_dn = "{ADMIN}"\npassword = "{password}"\nca = "{self.ca}"\n'
            f'start_tls = {str(way == "start_tls").lower()}\nmd5 = "sipHa1Md5"\nsha256 = "sipHa1Sha256"\n'
            'filter = "(&(objectClass=sipPhone)(uid={user}))"',
            "auth": 'algorithms = ["MD5", "SHA-256"]',
        }
