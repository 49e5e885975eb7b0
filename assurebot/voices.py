"""Who writes down what is said, and who speaks: chosen by the settings."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import SecretStr

from assurebot.providers.account import speaks_responses
from assurebot.providers.attempts import Attempts
from assurebot.providers.pricing import AUDIO_USD
from assurebot.providers.speech import AudioAccount, AudioModel, Speech
from assurebot.settings import Settings
from assurebot.values import ModelRef

NO_KEY = SecretStr("none")
"""For an own server that asks for no key; the SDK wants one."""


def voice_of(settings: Settings, attempts: Attempts) -> Speech | None:
    """Make what hears and speaks; `None` where nobody was named to hear."""
    if (heard := hearing(settings)) is None:
        return None
    return Speech(hearing=heard, speaking=speaking(settings), attempts=attempts)


def hearing(settings: Settings) -> AudioModel | None:
    """Return who writes down what is said; each of the keys goes only where it belongs."""
    key, url = settings.transcribe_api_key, settings.transcribe_base_url
    if key is None and url is None:
        key, url = settings.openai_api_key, settings.openai_base_url
    return _audio(settings, "transcribe", key or NO_KEY if url else key, url)


def speaking(settings: Settings) -> AudioModel | None:
    """Return who speaks."""
    return _audio(settings, "speech", settings.openai_api_key, settings.openai_base_url)


def _audio(
    settings: Settings, use: str, key: SecretStr | None, url: str | None
) -> AudioModel | None:
    """Put it together; the first of the known models is only there at OpenAI itself."""
    per, known = AUDIO_USD[use]
    model = getattr(settings, f"{use}_model") or (speaks_responses(url) and next(iter(known)))
    if key is None or not model:
        return None
    account = AudioAccount(key.get_secret_value(), url)
    ref = ModelRef(provider="openai", name=model)
    own = getattr(settings, f"{use}_price")
    price = known.get(model) if own is None else own
    return AudioModel(account=account, ref=ref, price_usd=price, per=per)


def audio_problems(settings: Settings) -> Iterator[str]:
    """Name the settings of sound that lead nowhere, or have no price to be held by."""
    heard, spoken = hearing(settings), speaking(settings)
    if heard is None and settings.transcribe_base_url is not None:
        yield "TRANSCRIBE_MODEL is missing: TRANSCRIBE_BASE_URL does nothing without it"
    elif heard is None and settings.transcribe_model is not None:
        yield "TRANSCRIBE_MODEL needs OPENAI_API_KEY, TRANSCRIBE_API_KEY or TRANSCRIBE_BASE_URL"
    if settings.speech_model is not None and (heard is None or spoken is None):
        yield "SPEECH_MODEL needs OPENAI_API_KEY, and TRANSCRIBE_MODEL at an own server"
    units = (("TRANSCRIBE", heard, "an hour"), ("SPEECH", spoken, "a million characters"))
    for name, who, unit in units:
        if who is not None and who.price_usd is None:
            yield (
                f"{name}_MODEL: nobody knows the price of {who.ref.name}; set {name}_PRICE to what"
                f" it costs (USD for {unit}; 0 for an own server)"
            )
