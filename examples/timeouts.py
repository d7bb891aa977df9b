import penstock


async def say_goodbye() -> None:
    with penstock.move_on_after(1, shield=True):  # whatever is cancelled around us
        await penstock.sleep(0)
        print("goodbye")


async def main() -> None:
    with penstock.move_on_after(0.01) as scope:
        await penstock.sleep(10)
    print("in time:", not scope.cancelled_caught)

    try:
        with penstock.fail_after(10, reason="the peer was idle") as scope:
            scope.deadline = penstock.current_time() + 0.01  # deadlines may be moved
            try:
                await penstock.sleep_forever()
            finally:
                await say_goodbye()
    except TimeoutError as exc:
        print("TimeoutError:", exc)


if __name__ == "__main__":
    penstock.run(main)
