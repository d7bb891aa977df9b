import os
import signal

import penstock


async def main() -> None:
    with penstock.open_signal_receiver(signal.SIGHUP, signal.SIGTERM) as signals:
        os.kill(os.getpid(), signal.SIGHUP)  # as an administrator would
        os.kill(os.getpid(), signal.SIGTERM)
        async for signum in signals:
            print(signum.name)
            if signum == signal.SIGTERM:
                break

    with penstock.catch_signals({signal.SIGHUP}) as batches:
        for _ in range(100):
            os.kill(os.getpid(), signal.SIGHUP)
        async for batch in batches:
            print(len(batch), "signal")
            break


if __name__ == "__main__":
    penstock.run(main)
