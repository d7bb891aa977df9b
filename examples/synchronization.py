import hashlib

import penstock


async def digest(data: bytes, limiter: penstock.CapacityLimiter) -> str:
    hashed = await penstock.to_thread.run_sync(hashlib.sha256, data, limiter=limiter)
    return hashed.hexdigest()[:8]


async def count(lock: penstock.Lock, counts: list[int]) -> None:
    async with lock:  # first come, first served
        before = counts[-1]
        await penstock.sleep(0)
        counts.append(before + 1)


async def main() -> None:
    limiter = penstock.CapacityLimiter(2)  # at most two threads at work for us
    async with penstock.create_task_group() as tasks:
        handles = [tasks.start_soon(digest, bytes(size), limiter) for size in range(3)]
    print([handle.return_value for handle in handles])

    lock, counts = penstock.Lock(), [0]
    async with penstock.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(count, lock, counts)
    print(counts, lock.statistics().locked)


if __name__ == "__main__":
    penstock.run(main)
