import tempfile

import penstock
from penstock.streams.file import FileReadStream, FileWriteStream


async def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = penstock.Path(name)

        async with await penstock.open_file(folder / "log.txt", "w") as file:
            await file.write("first\nsecond\n")
        async with await (folder / "log.txt").open() as file:
            async for line in file:
                print(line, end="")

        async with await FileWriteStream.from_path(folder / "data.bin") as output:
            await output.send_many([b"head", b"body" * 1000])
        async with await FileReadStream.from_path(folder / "data.bin") as source:
            print(await source.receive(4), await source.tell())
            await source.seek(-4, 2)
            print(await source.receive())

        print(sorted([path.name async for path in folder.iterdir()]))


if __name__ == "__main__":
    penstock.run(main)
