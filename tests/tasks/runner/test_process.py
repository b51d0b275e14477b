"""What a child says comes line by line."""

import os
import threading

from tasks.runner.process import lines


def test_a_progress_bar_is_thinned_out() -> None:
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(b"first\n" + b"".join(b"\r%d%%" % i for i in range(100)) + b"\r100%\nlast")

    thread = threading.Thread(target=write)
    thread.start()
    seen = list(lines(reading))
    thread.join()
    os.close(reading)
    assert seen[0] == "first" and seen[-2:] == ["100%", "last"]
    assert len(seen) <= 4
