"""What is asked of the system here, and which systems know it."""

import socket

collect_ignore = []
with socket.socket(socket.AF_UNIX) as sock:
    try:
        sock.getsockopt(socket.SOL_SOCKET, 83)  # SO_PASSRIGHTS, from Linux 6.16 on
    except OSError:
        collect_ignore.append("test_attacks_by_descriptors.py")
