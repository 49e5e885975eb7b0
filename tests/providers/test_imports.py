"""The heavy libraries are loaded when they are needed, and only the needed ones."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import asyncio, sys
from assurebot.providers.anthropic import AnthropicProvider
from assurebot.providers.chain import ModelChain
from assurebot.providers.openai import OpenAIProvider
from assurebot.providers.openai_account import OpenAIAccount
from assurebot.providers.openai_chat import OpenAIChatProvider
from assurebot.providers.pricing import Prices

def loaded():
    return sorted({"anthropic", "openai", "httpx2", "genai_prices"} & sys.modules.keys())

async def main():
    provider = AnthropicProvider("made-up", prices=Prices())
    print(loaded())
    await provider.warm()
    print(loaded())
    await provider.aclose()

asyncio.run(main())
"""


def test_only_the_sdk_in_use_is_loaded() -> None:
    """Making providers loads no SDK; the first use loads its own and no other."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines() == ["[]", "['anthropic', 'httpx2']"]
