"""The environment, read once into frozen settings; every mistake is told at once, never a value.

Each field below is one variable (its name in capitals) with its meaning and default; a test
holds README.md and `.env.example` against them. Nothing here reads `os.environ` by itself, which
is all that pydantic-settings would add to pydantic, for a fourteenth of the time a start may take.
The file is long because every setting stands here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo

from assurebot.errors import ConfigError
from assurebot.values import BoxLimits, ModelRef
from assurebot.variables import (
    CLOSED_PREFIXES,
    DEFAULT_MODELS,
    ApiKey,
    BasePath,
    BotToken,
    ChainKey,
    ChatId,
    Cpus,
    EngineUrl,
    Flag,
    GroupIds,
    HookSecret,
    Host,
    ImageName,
    ModelName,
    PolicyEntries,
    Prices,
    ProviderName,
    RuntimeName,
    Size,
    Url,
    Usd,
    UserIds,
    Zone,
    model_ref,
    one_of,
    unknown,
    url_secret,
    whole,
)


def _setting(meaning: str, default: Any = None, *, shown: str = "", show: bool = True) -> Any:
    """Describe an optional variable; `shown` is what the documents say instead of its default.

    One with `show=False` is left out where settings are printed: it may hold a password.
    """
    extra: dict[str, Any] = {"shown": shown or str(default or "")}
    return Field(default, description=meaning, json_schema_extra=extra, repr=show)


def _family(prefix: str, of: str, meaning: str) -> Any:
    """Describe variables that end in a name of the operator's choice."""
    extra: dict[str, Any] = {"shown": "", "prefix": prefix, "name": f"{prefix}<{of}>"}
    return Field(default_factory=dict, description=meaning, json_schema_extra=extra)


class _Given(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


_Part = TypeVar("_Part", bound=_Given)


class BotSettings(_Given):
    """What it takes to talk to Telegram at all (`assurebot whoami`)."""

    telegram_bot_token: BotToken = Field(description="The bot's token, from @BotFather")
    telegram_api_url: Url | None = _setting(
        "Own Bot API server (`http://host:port`)", shown="Telegram's", show=False
    )


class AuditSettings(_Given):
    """Where the record is and how it is kept (`assurebot audit verify`)."""

    data_dir: Path = _setting("Folder of everything that is kept", Path("/data"))
    audit_log_path: Path = Field(
        description="File of the audit log",
        default_factory=lambda read: read["data_dir"] / "audit.jsonl",
        json_schema_extra={"shown": "`DATA_DIR`/audit.jsonl"},
    )
    audit_key: ChainKey | None = _setting(
        "Key of the audit chain, at least 32 characters", shown="made once, kept beside the log"
    )
    audit_content: Annotated[Literal["full", "hash"], one_of("full", "hash")] = _setting(
        "`full` records what was said and run, `hash` only a hash of it", "full"
    )


class SandboxSettings(_Given):
    """Where programs run (`assurebot sandbox`)."""

    sandbox_enabled: Flag = _setting("`false`: no code is run at all", True, shown="`true`")
    sandbox_backend: Annotated[
        Literal["auto", "docker", "embedded"], one_of("auto", "docker", "embedded")
    ] = _setting(
        "`auto` takes the best box that passes its self-test; `docker`, `embedded`", "auto"
    )
    sandbox_image: ImageName = _setting(
        "Image of the boxes (`make sandbox-image`); it is never pulled", "assurebot-sandbox"
    )
    sandbox_runtime: RuntimeName | None = _setting(
        "OCI runtime of the boxes, such as `runsc` (gVisor)", shown="the engine's"
    )
    sandbox_pool: Annotated[int, whole(0, 50)] = _setting(
        "Boxes kept waiting, about 15 MiB each", 4
    )
    sandbox_network: Annotated[Literal["none", "bridge"], one_of("none", "bridge")] = _setting(
        "`bridge` gives programs the network; then *Boxed* is not held, and it says so", "none"
    )
    sandbox_memory: Size = _setting("Memory of one box", 512 << 20, shown="`512m`")
    sandbox_cpus: Cpus = _setting("Processors of one box", 1.0, shown="`1`")
    sandbox_timeout_ms: Annotated[int, whole(100, 3_600_000)] = _setting(
        "Milliseconds that a program may take", 60_000
    )
    docker_host: EngineUrl = _setting(
        "A container engine with Docker's API, over unix, tcp or TLS",
        "unix:///var/run/docker.sock",
    )
    docker_tls_verify: Flag = _setting("TLS to the engine", False, shown="`false`")
    docker_cert_path: Path | None = _setting("Folder of `ca.pem`, `cert.pem` and `key.pem` for it")

    @property
    def box_limits(self) -> BoxLimits:
        """What one program may use."""
        return BoxLimits(seconds=self.sandbox_timeout_ms / 1000, memory_bytes=self.sandbox_memory)


class Settings(AuditSettings, SandboxSettings, BotSettings):
    """Everything that can be set. `load_settings` makes it; nothing in it changes."""

    allowed_users: UserIds = Field(
        description="Telegram user ids, separated by commas; the first is the owner"
    )
    allowed_chats: GroupIds = _setting(
        "Telegram group ids; in them only allowed users who address the bot", ()
    )
    anthropic_api_key: ApiKey | None = _setting(
        "Key for Anthropic; one of the two keys is required"
    )
    openai_api_key: ApiKey | None = _setting(
        "Key for OpenAI or a compatible server; with both keys set Anthropic is asked,"
        " unless `AI_MODEL` names the other"
    )
    anthropic_base_url: Url | None = _setting(
        "A gateway to Anthropic", shown="Anthropic's", show=False
    )
    openai_base_url: Url | None = _setting(
        "Any compatible server (Ollama, vLLM), with its `/v1`", shown="OpenAI's", show=False
    )
    ai_model: ModelName | None = _setting(
        "`model` or `provider:model`, where the provider is `anthropic` or `openai`",
        shown=" or ".join(f"`{name}`" for name in DEFAULT_MODELS.values()),
    )
    ai_fallback_model: ModelName | None = _setting(
        "Who is asked while the model cannot be reached; written like `AI_MODEL`"
    )
    ai_price: Prices | None = _setting(
        "`in,out` in USD per million tokens, for the provider of `AI_MODEL`; `0,0` for own servers",
        shown="from genai-prices",
    )
    transcribe_model: ModelName | None = _setting(
        "Model that writes down voice messages and audio; at an own server it must be named",
        shown="gpt-transcribe at OpenAI",
    )
    transcribe_base_url: Url | None = _setting(
        "Another server for that, with its `/v1`", shown="as for `OPENAI_API_KEY`", show=False
    )
    transcribe_api_key: ApiKey | None = _setting(
        "Key for that server; without one, for OpenAI itself instead of `OPENAI_API_KEY`"
    )
    transcribe_price: Usd | None = _setting(
        "USD for an hour of audio; `0` for an own server", shown="OpenAI's"
    )
    speech_model: ModelName | None = _setting(
        "Model that speaks answers, asked with `OPENAI_API_KEY`; at an own server it must be named",
        shown="tts-1 at OpenAI",
    )
    speech_price: Usd | None = _setting("USD for a million spoken characters", shown="OpenAI's")
    system_prompt_extra: str = _setting("The operator's own words to the model", "")
    max_turns: Annotated[int, whole(1, 100)] = _setting("Turns at one time", 8)
    max_steps: Annotated[int, whole(1, 200)] = _setting("Model and tool calls in one turn", 20)
    turn_timeout: Annotated[int, whole(1, 86_400)] = _setting("Seconds that a turn may take", 300)
    max_output_tokens: Annotated[int, whole(1, 200_000)] = _setting(
        "Tokens of one model answer", 8192
    )
    approvers: UserIds | None = _setting(
        "Ids of those who may press *Approve*; all of them must be in `ALLOWED_USERS`",
        shown="whoever asked",
    )
    approval_timeout: Annotated[int, whole(10, 604_800)] = _setting(
        "Seconds after which what nobody approved is not done", 600
    )
    policy_deny: PolicyEntries = _setting(
        "Tools that are never used: `tool` or `tool:glob`, separated by commas", ()
    )
    policy_ask: PolicyEntries = _setting(
        "Tools that need a press each time, written like `POLICY_DENY`", ()
    )
    policy_allow: PolicyEntries = _setting(
        "Where outward tools may go without a press: `fetch_url:https://example.com/*`", ()
    )
    web_search: Flag = _setting(
        "`true` offers the model a web search by its provider", False, shown="`false`"
    )
    budget_daily_usd: Usd = _setting(
        "The most that all may cost in a day (UTC); webhooks together may take half of it",
        Decimal(5),
    )
    budget_user_daily_usd: Usd | None = _setting("The same for each person")
    budget_job_usd: Usd | None = _setting("The same for each scheduled task")
    scheduler_enabled: Flag = _setting("`false`: no schedules are kept", True, shown="`true`")
    timezone: Zone = _setting("Time zone of schedules, an IANA name", "UTC")
    schedules: dict[str, str] = _family(
        "SCHEDULE_", "NAME", "A task of the owner, written as for `/schedule`"
    )
    rate_user_per_minute: Annotated[int, whole(1, 1000)] = _setting(
        "Turns that one person may start in a minute; more of them wait", 20
    )
    webhooks_enabled: Flag = _setting("`false`: no webhooks are taken", True, shown="`true`")
    webhook_base_path: BasePath = _setting(
        "Webhooks are posted to this path and `/SOURCE`", "/hooks"
    )
    webhook_secret: HookSecret | None = _setting(
        "Secret of all sources without one of their own, at least 16 characters; a source without"
        " any is answered with 503"
    )
    webhook_secrets: dict[str, HookSecret] = _family(
        "WEBHOOK_SECRET_", "SOURCE", "Secret of one source, such as `WEBHOOK_SECRET_GITHUB`"
    )
    webhook_prompts: dict[str, str] = _family(
        "WEBHOOK_PROMPT_", "SOURCE", "What the model is to tell of the posts of a source"
    )
    webhook_chats: dict[str, ChatId] = _family(
        "WEBHOOK_CHAT_", "SOURCE", "Id of the user or group told of them instead of the owner"
    )
    rate_webhook_per_minute: Annotated[int, whole(1, 10_000)] = _setting(
        "Refused posts of one source in a minute before 429 is answered, and model calls about"
        " its posts before they are told without a model",
        60,
    )
    host: Host = _setting("Address to listen on; the image sets `0.0.0.0`", "127.0.0.1")
    port: Annotated[int, whole(0, 65_535)] = _setting(
        "Port to listen on; `0` takes a free one", 8080
    )
    log_level: Annotated[str, one_of("DEBUG", "INFO", "WARNING", "ERROR")] = _setting(
        "`DEBUG`, `INFO`, `WARNING` or `ERROR`", "INFO"
    )
    log_format: Annotated[Literal["json", "console"], one_of("json", "console")] = _setting(
        "`json` or `console`", "json"
    )
    warnings: tuple[str, ...] = ()  # not a variable: what is odd about the environment

    @field_validator("approvers")
    @classmethod
    def _listed(cls, value: UserIds | None, known: ValidationInfo) -> UserIds | None:
        # Ids that cannot be read are told by themselves.
        if not set(value or ()) <= set(known.data.get("allowed_users", value or ())):
            raise ValueError("must be ids of ALLOWED_USERS: others cannot press anything")
        return value

    @property
    def owner(self) -> int:
        """The user who may do everything: the first of `allowed_users`."""
        return self.allowed_users[0]

    @property
    def model(self) -> ModelRef:
        """The model that is asked."""
        return model_ref(self.ai_model, self._providers())

    @property
    def fallback(self) -> ModelRef | None:
        """The model that is asked while the first cannot be reached."""
        if self.ai_fallback_model is None:
            return None
        return model_ref(self.ai_fallback_model, (self.model.provider, *self._providers()))

    @property
    def offered_models(self) -> tuple[ModelRef, ...]:
        """What may be chosen without typing: both models, and the other provider's default."""
        others = (name for name in self._providers() if name != self.model.provider)
        defaults = (model_ref(None, (name,)) for name in others)
        return tuple(dict.fromkeys(filter(None, (self.model, self.fallback, *defaults))))

    def named_model(self, text: str) -> ModelRef:
        """Read `model` or `provider:model` as in `AI_MODEL`.

        Raises:
            ConfigError: The provider has no key.
        """
        ref = model_ref(text, self._providers())
        if ref.provider not in self._providers():
            raise ConfigError(f"{ref.provider} has no key here: set {ref.provider.upper()}_API_KEY")
        return ref

    def secrets(self) -> dict[str, str]:
        """Return every configured secret by the name of its variable, for redaction."""
        held = {
            name.upper(): value.get_secret_value()
            for name, value in self
            if isinstance(value, SecretStr)
        }
        held |= {
            f"WEBHOOK_SECRET_{source.upper()}": secret.get_secret_value()
            for source, secret in self.webhook_secrets.items()
        }
        services = ("telegram_api", "anthropic_base", "openai_base", "transcribe_base")
        urls = [f"{service}_url" for service in services]
        inside = {name.upper(): url_secret(getattr(self, name) or "") for name in urls}
        return held | {name: secret for name, secret in inside.items() if secret}

    def _providers(self) -> tuple[ProviderName, ...]:
        keys = {"anthropic": self.anthropic_api_key, "openai": self.openai_api_key}
        return tuple(name for name in DEFAULT_MODELS if keys[name])


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read all settings; a variable that is empty counts as not set.

    Raises:
        ConfigError: Everything that is wrong, one problem for each variable and cause.
    """
    given = _given(environ)
    families = tuple(_families(Settings).values())
    single = [name for name in given if not _members([name], families)]
    warnings, problems = unknown(single, _names(Settings))
    read, faults = _read(Settings, given, warnings=(*warnings, *_idle(given)))
    problems = (*problems, *faults, *_model_problems(given))
    if read is None or problems:
        raise ConfigError(*problems)
    return read


def load_part(part: type[_Part], environ: Mapping[str, str]) -> _Part:
    """Read only the settings of `part`, for a command that needs no others.

    Raises:
        ConfigError: As in `load_settings`; of the unknown names only those that begin like one
            of its own are told.
    """
    given, names = _given(environ), _names(part)
    begun = tuple({f"{name.partition('_')[0]}_" for name in names}.intersection(CLOSED_PREFIXES))
    strange = unknown([name for name in given if name.startswith(begun)], _names(Settings))[1]
    read, problems = _read(part, given)
    if read is None or strange:
        raise ConfigError(*strange, *problems)
    return read


# --- what is wrong ----------------------------------------------------------------------------


def _given(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value.strip() for name, value in environ.items() if value.strip()}


def _names(part: type[_Given]) -> dict[str, str]:
    """Return the variables and their meanings, in order; a family stands as `PREFIX_<NAME>`."""
    fields = part.model_fields.items()
    return {
        _extra(field).get("name", name.upper()): field.description
        for name, field in fields
        if field.description
    }


def _extra(field: FieldInfo) -> dict[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def _families(part: type[_Given]) -> dict[str, str]:
    """Return the prefixes of the families, by field."""
    extras = ((name, _extra(field)) for name, field in part.model_fields.items())
    return {name: extra["prefix"] for name, extra in extras if "prefix" in extra}


def _members(given: Iterable[str], prefixes: tuple[str, ...]) -> list[str]:
    """Return the names that belong to one of the families."""
    return [
        name
        for name in given
        if name.startswith(prefixes) and re.fullmatch("[A-Z0-9][A-Z0-9_]{0,99}", name)
    ]


def _read(
    part: type[_Part], given: Mapping[str, str], **more: Any
) -> tuple[_Part | None, tuple[str, ...]]:
    names, families = _names(part), _families(part)
    values: dict[str, Any] = {name.lower(): given[name] for name in names if name in given}
    for field, prefix in families.items():
        members = _members(given, (prefix,))
        values[field] = {name.removeprefix(prefix).lower(): given[name] for name in members}
    try:
        return part(**values, **more), ()
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
    problems = []
    for fault in faults:
        field, *member = map(str, fault["loc"])
        name = (families[field] + member[0] if field in families else field).upper()
        if fault["type"] == "missing":
            problems.append(f"{name} is missing: {names[name]}")
        elif fault["type"] != "default_factory_not_called":  # that follows from another fault
            problems.append(f"{name} {fault.get('ctx', {}).get('error', 'cannot be read')}")
    return None, tuple(problems)


def _idle(given: Mapping[str, str]) -> tuple[str, ...]:
    """Warn of addresses of providers that will not be asked."""
    return tuple(
        f"{name}_BASE_URL does nothing without {name}_API_KEY"
        for name in map(str.upper, DEFAULT_MODELS)
        if f"{name}_BASE_URL" in given and f"{name}_API_KEY" not in given
    )


def _model_problems(given: Mapping[str, str]) -> tuple[str, ...]:
    """Look at keys and models together; by their names, for their values may be wrong too."""
    providers = tuple(name for name in DEFAULT_MODELS if f"{name.upper()}_API_KEY" in given)
    if not providers:
        own = "OPENAI_BASE_URL" in given
        return (
            "ANTHROPIC_API_KEY or OPENAI_API_KEY is missing: one of them is required"
            + ("; for an own server any text of at least 8 characters does" if own else ""),
        )
    model = model_ref(given.get("AI_MODEL"), providers)
    asked = {"AI_MODEL": model}
    problems = []
    if (text := given.get("AI_FALLBACK_MODEL")) is not None:
        asked["AI_FALLBACK_MODEL"] = model_ref(text, (model.provider, *providers))
        if asked["AI_FALLBACK_MODEL"] == model:
            problems.append("AI_FALLBACK_MODEL must be another model than the first")
    for name, ref in asked.items():
        if ref.provider not in providers:
            key = f"{ref.provider.upper()}_API_KEY"
            problems.append(f"{name} names a model of {ref.provider}, so {key} is required")
    return tuple(problems)
