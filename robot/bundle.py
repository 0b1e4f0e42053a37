"""The policy bundle: a folder with ``policy.onnx``, ``contract.yaml`` and ``card.json``, run by ONNX Runtime.

Everything between raw observation and physical action (scaling, crop, normalisation, denormalisation) is inside the
network, so the robot side only hands over arrays. The network's inputs carry the contract's observation names, without
a batch axis:

* camera ``NAME``: ``(history, height, width, channels)`` uint8
* proprioception ``NAME``: ``(history, size)`` float32
* output ``action``: ``(chunk, action size)`` float32, physical units

``card.json`` holds the SHA-256 of the other two files, and of itself without that field (``card_hash``); a bundle that
was altered is refused. Bundles from before ``card_hash`` are loaded, and said to have a card that is not verified.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from robot.contract import Contract
from robot.errors import BundleError, ContractMismatch

POLICY, CONTRACT, CARD = "policy.onnx", "contract.yaml", "card.json"
CARD_HASH = "card_hash"  # the card's field for its own hash
NOT_VERIFIED = (
    "the card of this bundle is from before cards had a hash of their own, so nobody can tell whether its figures "
    "(success, latency) were edited; network and contract are verified"
)
CPU, CUDA, TENSORRT, AUTO = "cpu", "cuda", "tensorrt", "auto"
PROVIDERS = {  # what a policy can be run by -> execution providers of ONNX Runtime, those that come later do the rest
    CPU: ("CPUExecutionProvider",),
    CUDA: ("CUDAExecutionProvider", "CPUExecutionProvider"),
    TENSORRT: ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
}
_ONNX_TYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}


class Policy:
    """A policy ready to act: its contract, its card, and a one-observation inference call.

    Inference uses one thread: at these sizes a second one costs more in wake-ups than it brings, and the control loop,
    the driver and the cameras want the other cores.
    """

    def __init__(
        self, onnx: bytes, contract: Contract, card: dict[str, Any], threads: int = 1, provider: str = CPU
    ) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(onnx, options, providers=providers(provider))
        except BundleError:
            raise
        except Exception as error:  # onnxruntime raises its own untyped exceptions
            raise BundleError(f"{POLICY} cannot be loaded by ONNX Runtime {ort.__version__}: {error}") from error
        self.contract = contract
        self.card = card
        self._check_signature()

    def _check_signature(self) -> None:
        wanted: dict[str, tuple[list[int], type]] = {
            c.name: ([self.contract.history, *c.shape], np.uint8) for c in self.contract.cameras
        }
        wanted.update({p.name: ([self.contract.history, p.size], np.float32) for p in self.contract.proprio})
        found = {i.name: (list(i.shape), _ONNX_TYPES.get(i.type, i.type)) for i in self._session.get_inputs()}
        if found != wanted:
            raise ContractMismatch(f"the network's inputs {found} are not those of its contract {wanted}")
        outputs = {o.name: list(o.shape) for o in self._session.get_outputs()}
        shape = [self.contract.chunk, self.contract.action.size]
        if outputs != {"action": shape}:
            raise ContractMismatch(
                f"the network's outputs {outputs} are not those of its contract {{'action': {shape}}}"
            )

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        """Actions ``(chunk, action size)`` float32 in physical units for one observation.

        Each array has the contract's shape, with a leading ``history`` axis if history is more than one. The values are
        what the network says; bounds and finiteness are the safety limits' business.
        """
        feed = {}
        for name in [c.name for c in self.contract.cameras] + [p.name for p in self.contract.proprio]:
            value = observation[name]
            feed[name] = value[None] if self.contract.history == 1 else value
        return self._session.run(["action"], feed)[0]


def providers(wanted: str) -> list[str]:
    """Execution providers of ONNX Runtime for one of ``PROVIDERS``, or for "auto": the fastest that is here.

    Raises:
        BundleError: there is no such one, or not in this ONNX Runtime.
    """
    import onnxruntime as ort

    here = ort.get_available_providers()
    found = [name for name, chain in PROVIDERS.items() if chain[0] in here]
    if wanted == AUTO:
        wanted = found[-1]
    if wanted not in PROVIDERS:
        raise BundleError(f"unknown provider {wanted!r}; the valid names are: {AUTO}, {', '.join(PROVIDERS)}")
    if wanted not in found:
        raise BundleError(
            f"the ONNX Runtime of this interpreter cannot run a policy by {wanted}, only by {', '.join(found)}: install"
            " onnxruntime-gpu there, or name an interpreter that has it"
        )
    return [name for name in PROVIDERS[wanted] if name in here]


def write(path: str | Path, onnx: bytes, contract: Contract, card: dict[str, Any]) -> Path:
    """Write a bundle, whole or not at all. ``path`` must not exist.

    ``card`` gains ``contract_hash``, ``files`` (SHA-256 of each) and ``card_hash``.
    """
    path = Path(path)
    require_new(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    contents = {POLICY: onnx, CONTRACT: contract.to_yaml().encode()}
    card = {
        **card,
        "contract_hash": contract.hash,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()},
    }
    card[CARD_HASH] = card_hash(card)
    contents[CARD] = (json.dumps(card, indent=2) + "\n").encode()
    partial = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        for name, data in contents.items():
            (partial / name).write_bytes(data)
        partial.chmod(0o755)
        os.rename(partial, path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return path


def card_hash(card: dict[str, Any]) -> str:
    """SHA-256 over the canonical JSON of a card without ``card_hash``; spaces and the order of keys do not count."""
    covered = json.loads(json.dumps({key: value for key, value in card.items() if key != CARD_HASH}))
    return hashlib.sha256(json.dumps(covered, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def require_new(path: Path) -> None:
    """Raise BundleError if there is anything where a bundle is to be written."""
    if path.exists():
        raise BundleError(f"{path} exists already; choose another name or remove it")


def read(path: str | Path) -> tuple[bytes, Contract, dict[str, Any]]:
    """The checked contents of a bundle: network bytes, contract, card. Raises BundleError."""
    path = Path(path)
    missing = [name for name in (POLICY, CONTRACT, CARD) if not (path / name).is_file()]
    if missing:
        raise BundleError(f"{path} is not a policy bundle: no {', '.join(missing)}; `pixelarm export` writes one")
    try:
        card = json.loads((path / CARD).read_text())
        files = dict(card["files"])
        dict(card.get("config", {}))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{path / CARD} is not a policy card: {type(error).__name__}: {error}") from error
    contents = {}
    for name in (POLICY, CONTRACT):
        contents[name] = (path / name).read_bytes()
        found = hashlib.sha256(contents[name]).hexdigest()
        if found != files.get(name):
            raise BundleError(
                f"{path / name} was altered: its SHA-256 is {found[:16]}…, the card says {str(files.get(name))[:16]}…; "
                f"export it again"
            )
    if card.get(CARD_HASH, card_hash(card)) != card_hash(card):
        raise BundleError(
            f"{path / CARD} was altered: its success, latency and other figures are not those it was written with; "
            "export the bundle again"
        )
    contract = Contract.from_text(contents[CONTRACT].decode(errors="replace"))
    if contract.hash != card.get("contract_hash"):
        raise BundleError(f"{path}: contract hash {contract.hash} is not the card's {card.get('contract_hash')}")
    return contents[POLICY], contract, card


def load(path: str | Path, expect: Contract | None = None, threads: int = 1, provider: str = CPU) -> Policy:
    """Read, verify and open a bundle; with ``expect``, refuse one made for another contract. ``provider``: what runs
    it, one of ``PROVIDERS``, or "auto".

    Raises:
        BundleError: incomplete, altered, or not loadable.
        ContractMismatch: not for ``expect``; the message names each difference.
    """
    onnx, contract, card = read(path)
    if CARD_HASH not in card:
        logging.getLogger(__name__).warning("%s: %s", path, NOT_VERIFIED)
    if expect is not None:
        expect.require_equal(contract, here="this set-up", there=str(path))
    return Policy(onnx, contract, card, threads, provider)


def main(argv: list[str]) -> int:
    """``pixelarm bundle``: verify a bundle and show what it is."""
    parser = argparse.ArgumentParser(
        allow_abbrev=False, prog="pixelarm bundle", description="Verify a policy bundle and show its card and contract."
    )
    parser.add_argument("bundle", type=Path, help="bundle folder, as written by `pixelarm export`")
    parser.add_argument("--expect", type=Path, metavar="CONTRACT", help="contract file (YAML or JSON) it must match")
    parser.add_argument("--json", action="store_true", help="print card and contract as JSON")
    args = parser.parse_args(argv)
    expect = Contract.load(args.expect) if args.expect else None
    policy = load(args.bundle, expect)
    if args.json:
        print(json.dumps({"card": policy.card, "contract": policy.contract.to_dict()}, indent=2))
        return 0
    found = "verified" if CARD_HASH in policy.card else "network and contract verified, the card is not"
    print(f"{args.bundle}: {found}, contract {policy.contract.hash}\n")
    print(policy.contract.to_yaml())
    print(json.dumps(policy.card, indent=2))
    return 0
