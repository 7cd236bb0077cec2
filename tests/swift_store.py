"""A real S3-compatible store for tests: OpenStack Swift, all of its servers in one process, on one folder.

    python tests/swift_store.py FOLDER PORT      keys from STORE_KEY_ID and STORE_SECRET_KEY

One replica on one disk, and none of the daemons that mend replicas; signatures and buckets are those of production.
"""

import eventlet

eventlet.monkey_patch()

import os  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

from eventlet import wsgi  # noqa: E402
from swift.common import storage_policy, utils  # noqa: E402
from swift.common.ring import RingBuilder  # noqa: E402
from swift.common.wsgi import loadapp  # noqa: E402

KINDS = ("account", "container", "object")
PROXY = """[DEFAULT]
swift_dir = {folder}
[pipeline:main]
pipeline = catch_errors healthcheck cache listing_formats s3api tempauth copy slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:1
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_{account}_{user} = {secret} .admin
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
"""
SERVER = """[DEFAULT]
swift_dir = {folder}
devices = {folder}/disks
mount_check = false
[app:main]
use = egg:swift#{kind}
"""


def serve(folder: Path, port: int, key_id: str, secret: str) -> None:
    """Serves until killed. `key_id` is "account:user", which is how Swift names who signs."""
    (folder / "disks" / "d1").mkdir(parents=True, exist_ok=True)
    utils.HASH_PATH_SUFFIX = b"foveate"
    utils.SWIFT_CONF_FILE = str(folder / "swift.conf")
    storage_policy.reload_storage_policies()
    sockets = {kind: eventlet.listen(("127.0.0.1", 0)) for kind in KINDS}
    for kind, socket in sockets.items():
        ring = RingBuilder(4, 1, 1)
        ring.add_dev({"region": 1, "zone": 1, "ip": "127.0.0.1", "port": socket.getsockname()[1], "device": "d1",
                      "weight": 1, "replication_ip": "127.0.0.1", "replication_port": socket.getsockname()[1]})
        ring.rebalance()
        ring.get_ring().save(str(folder / f"{kind}.ring.gz"))
        (folder / f"{kind}.conf").write_text(SERVER.format(folder=folder, kind=kind))
    account, user = key_id.split(":")
    (folder / "proxy.conf").write_text(PROXY.format(folder=folder, account=account, user=user, secret=secret))
    quiet = open(os.devnull, "w")  # noqa: SIM115
    for kind, socket in sockets.items():
        eventlet.spawn(wsgi.server, socket, loadapp(str(folder / f"{kind}.conf")), quiet)
    wsgi.server(eventlet.listen(("127.0.0.1", port)), loadapp(str(folder / "proxy.conf")), quiet)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]), os.environ["STORE_KEY_ID"], os.environ["STORE_SECRET_KEY"])
