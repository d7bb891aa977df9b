import penstock
from penstock.abc import TaskStatus


async def square(number: int) -> int:
    await penstock.sleep(0)
    return number * number


async def serve(*, task_status: TaskStatus[str] = penstock.TASK_STATUS_IGNORED) -> None:
    task_status.started("ready")
    await penstock.sleep_forever()


async def fail() -> None:
    raise ValueError("no such file")


async def main() -> None:
    async with penstock.create_task_group() as tasks:
        print(await tasks.start(serve))  # returns when serve() says that it is up
        handles = [tasks.start_soon(square, number) for number in range(4)]
        print([await handle for handle in handles])
        tasks.cancel("nobody is left to be served")

    try:
        async with penstock.create_task_group() as tasks:
            tasks.start_soon(penstock.sleep_forever)  # cancelled when the other one fails
            tasks.start_soon(fail)
    except* ValueError as group:
        print(group.exceptions)


if __name__ == "__main__":
    penstock.run(main)
