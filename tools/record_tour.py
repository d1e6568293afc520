"""Records the study of `headtorch tour` anew; docs/tour.md says when and how.

python tools/record_tour.py convert FILE.gguf FOLDER     a Hugging Face folder with the same weights
python tools/record_tour.py measure STUDY NEURON …       cooperation of its heads, as a key of the workbench does
python tools/record_tour.py notes STUDY                  the notes of tools/tour_notes.json, and bookmarks
python tools/record_tour.py pack STUDY                   the archive, into the package
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

NOTES = Path(__file__).with_name("tour_notes.json")


def convert(gguf: str, folder: str) -> None:
    """Dequantise a GGUF file of a Llama model and save it as safetensors in fp32."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    source = Path(gguf)
    read = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name)
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    kept = {key: value for key, value in read.config.to_dict().items() if key not in ("quantization_config", "dtype")}
    model = LlamaForCausalLM(LlamaConfig(**kept))  # the same model, which no longer says that it is quantised
    model.load_state_dict({name: weight.float() for name, weight in read.state_dict().items()})
    model.tie_weights()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def measure(study: str, *neurons: str) -> None:
    """Ask the engine for what `headtorch run` does not measure."""
    from headtorch.core.engine.protocol import MeasureCooperation, OpenStudy, encode_line
    from headtorch.core.records import NeuronId

    requests = [
        OpenStudy(id=1, where=study, run=False),
        *(MeasureCooperation(id=2 + i, neuron=NeuronId.parse(name)) for i, name in enumerate(neurons)),
    ]
    command = [sys.executable, "-m", "headtorch", "engine"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as engine:
        assert engine.stdin is not None and engine.stdout is not None
        for request in requests:
            engine.stdin.write(encode_line(request))
            engine.stdin.flush()
            _until_done(engine.stdout, request.id)
        engine.stdin.close()


def _until_done(lines: object, request: int) -> None:
    for line in lines:  # type: ignore[attr-defined]
        said = json.loads(line)
        if said.get("request") == request and said["type"] in ("RequestDone", "RequestFailed"):
            if said["type"] == "RequestFailed":
                raise SystemExit(said["message"])
            return
    raise SystemExit("the engine has ended")


def notes(study: str) -> None:
    """Write the notes, and bookmark the neurons that have one."""
    from headtorch.core.study import Study

    opened = Study.open(study)
    for subject, text in json.loads(NOTES.read_text(encoding="utf-8")).items():
        opened.notes.write(subject, text)
        if subject != "study" and " " not in subject:
            opened.notes.bookmark(subject)


def pack(study: str) -> None:
    """Put the archive in place of the one that there is; no path of this machine goes with it."""
    from headtorch.core.study import Study, tour
    from headtorch.core.study.archive import archive_study

    folder, model = Study.open(study).folder, Study.open(study).settings.model
    for path in (folder / "study.json", folder / "events.jsonl"):
        text = path.read_text(encoding="utf-8").replace(json.dumps(model), json.dumps(Path(model).name))
        path.write_text(re.sub(r'"/[^"]*/(report/[^"/]+)"', r'"\1"', text), encoding="utf-8")
    made = archive_study(study, tour.ARCHIVE.with_suffix(".new"))
    made.replace(tour.ARCHIVE)


if __name__ == "__main__":
    {"convert": convert, "measure": measure, "notes": notes, "pack": pack}[sys.argv[1]](*sys.argv[2:])
