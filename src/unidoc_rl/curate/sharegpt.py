"""Trajectories for LLaMA-Factory: a data set of conversations in the ShareGPT form, with its pictures as files.

sharegpt.jsonl       a conversation a line: `system`, `conversations` (from human or gpt), `images`
images/              what the agent was shown, to the pixel
dataset_info.json    tells LLaMA-Factory what the columns mean: name the folder as its dataset_dir, `unidoc` as dataset
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from unidoc_rl import progress, storage
from unidoc_rl.agent import trajectories
from unidoc_rl.agent.dialect import system_prompt
from unidoc_rl.agent.environment import conversation
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.errors import UnidocError
from unidoc_rl.many import as_made
from unidoc_rl.params import AgentParams
from unidoc_rl.types import Content, Picture, Role, Trajectory

FILE = "sharegpt.jsonl"
INFO = "dataset_info.json"
IMAGES = "images"
IMAGE = "<image>"  # where a picture stands in a text
_MARK = re.compile("<(?=(?:image|video|audio)>)")  # LLaMA-Factory counts them all, and there must be one for each file
_FROM = {Role.USER: "human", Role.ASSISTANT: "gpt"}
_COLUMNS = {"messages": "conversations", "system": "system", "images": "images"}


def export(file: Path, corpus: str | Path, out: str | Path, params: AgentParams) -> dict[str, int]:
    """Makes the folder `out` of a file of trajectories; how many there are, and how many pictures."""
    storage.keep_apart(out, file, corpus)
    pictures = Pictures(storage.local_folder(corpus), params)
    rules = system_prompt(params)
    shown: dict[str, Picture] = {}
    count = 0
    with storage.writing(out, FILE, INFO) as output:
        with (output.new / FILE).open("w", encoding="utf-8", errors="replace") as lines:
            for one in trajectories.read(file):
                lines.write(json.dumps(_line(one, rules, shown), ensure_ascii=False) + "\n")
                count += 1
        if not count:
            raise UnidocError(f"{file}: holds no trajectories")
        (output.new / IMAGES).mkdir()

        def draw(named: tuple[str, Picture]) -> None:
            name, picture = named
            image = pictures.show(picture).copy()  # saving writes on the image, and others may be saving it
            image.save(output.new / name, compress_level=1)

        with progress.bar(len(shown), "drawing", "picture") as bar:
            for _ in as_made(draw, shown.items(), os.cpu_count() or 1):
                bar.update()
        info = {"unidoc": {"file_name": FILE, "formatting": "sharegpt", "columns": _COLUMNS}}
        (output.new / INFO).write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")
    return {"trajectories": count, "pictures": len(shown)}


def _line(one: Trajectory, rules: str, shown: dict[str, Picture]) -> dict[str, Any]:
    """Its pictures are added to those that are shown."""
    _, *messages = conversation(one, rules)
    told = [{"from": _FROM[message.role], "value": _text(message.content)} for message in messages]
    seen = [part for message in messages for part in message.content if isinstance(part, Picture)]
    names = [_name(picture) for picture in seen]
    shown |= dict(zip(names, seen, strict=True))
    return {"system": rules, "conversations": told, "images": names}


def _text(content: Content) -> str:
    """Marks stand for pictures alone."""
    return "".join(IMAGE if isinstance(part, Picture) else _MARK.sub("< ", part) for part in content)


def _name(picture: Picture) -> str:
    return f"{IMAGES}/{hashlib.sha256(json.dumps(asdict(picture)).encode()).hexdigest()[:24]}.png"
