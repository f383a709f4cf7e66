"""Contracts of artifacts that are folders of files: checkpoints and prompt files."""

from hashlib import sha256
from pathlib import Path
from typing import ClassVar

from data_contracts.errors import ContractError

FORBIDDEN_SUFFIXES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")


class FolderContract:
    """Base of folder contracts: `required` names must exist; pickled weights are refused."""

    name: ClassVar[str]
    version: ClassVar[int] = 1
    required: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def contract_id(cls) -> str:
        """`name@version`."""
        return f"{cls.name}@{cls.version}"

    @classmethod
    def fingerprint(cls) -> str:
        """SHA-256 of the names that must exist."""
        return sha256("\n".join(cls.required).encode()).hexdigest()

    @classmethod
    def check_folder(cls, folder: Path) -> None:
        """Raise ContractError when the folder breaks the contract."""
        if not folder.is_dir():
            raise ContractError(f"{cls.contract_id()}: {folder} is not a folder")
        missing = [name for name in cls.required if not (folder / name).is_file()]
        if missing:
            raise ContractError(f"{cls.contract_id()}: {folder} lacks {', '.join(missing)}")
        unsafe = sorted(p.name for p in folder.rglob("*") if p.suffix.lower() in FORBIDDEN_SUFFIXES)
        if unsafe:
            raise ContractError(f"{cls.contract_id()}: {folder} holds pickled files {unsafe}; use safetensors")


class Checkpoint(FolderContract):
    """A model as transformers saves it: configuration, safetensors weights, tokenizer with chat template."""

    name = "checkpoint"
    required = ("config.json", "tokenizer_config.json")

    @classmethod
    def check_folder(cls, folder: Path) -> None:
        """Also asks for at least one safetensors file."""
        super().check_folder(folder)
        if not list(folder.glob("*.safetensors")):
            raise ContractError(f"{cls.contract_id()}: {folder} has no .safetensors file")


class VanillaCheckpoint(Checkpoint):
    """A language model as pre-training left it: no demonstration, no reward."""

    name = "vanilla_model"


class RewardCheckpoint(Checkpoint):
    """A model that scores conversations: a reward model or the as-is one, also several as one (ensemble)."""

    name = "reward_model"


class PolicyCheckpoint(Checkpoint):
    """A language model that answers: after SFT, or after policy optimisation."""

    name = "policy"


class LastPolicyCheckpoint(PolicyCheckpoint):
    """The policy after the last step, kept beside the one that validation chose."""

    name = "last_policy"


class PromptFiles(FolderContract):
    """Prompt sets and seed queries as text files in the project's prompt format."""

    name = "prompt_files"
    required = ("seed_queries.txt", "hhh.txt", "faithful.txt", "user.txt")


class TokenizerFiles(FolderContract):
    """A tokenizer as transformers saves it."""

    name = "tokenizer"
    required = ("tokenizer.json", "tokenizer_config.json")


class RewardCardFiles(FolderContract):
    """A reward model's card, for programs and for people."""

    name = "reward_card"
    required = ("card.json", "card.md")
