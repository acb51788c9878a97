"""Tests on a kernel with quotas: user-mode Linux, booted once for each file in ``inside/``.

The guest's root is an overlay of this machine's own files, with whatever is written kept in memory:
/etc, /var, /tmp and /run are writable there, and nothing of the machine's ever changes. On it are

=============  ==========================================  ============
/home          XFS, uquota, gquota, pquota                 /dev/ubda
/scratch       ext4, quota and project features, prjquota  /dev/ubdb
/plain         ext4 without the quota feature              /dev/ubdc
/plainxfs      XFS mounted without quotas                  /dev/ubdd
=============  ==========================================  ============

A test for the inside is an ordinary pytest test in ``tests/uml/inside/test_*.py``; it runs as root,
and may call anything: mount, chown, setquota, ``ds01ctl`` (fixture ``ds01ctl``; ``as_user`` runs a
function as somebody else). Only the conftest.py in that folder is loaded. All tests of a file share
one boot, so give each its own ids and folders. A skip inside is a failure. Run a file with
``python -m pytest tests/uml -k NAME``; NAME is the file's, without ``test_`` and ``.py``.
Any other command: ``python -m tests.uml.guest COMMAND...``. The machine's clock is the guest's.
"""
