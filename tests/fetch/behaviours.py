"""What a fetch must do beyond its first URL: one case for each behaviour, as data.

They are played by `namespace.py` where every address is ours, and judged in `test_outward.py`.
The file is long because it is one table.
"""

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from tests.fetch.dns import Zone

SITE = "93.184.216.34"
OTHER = "198.20.0.9"
METADATA = "http://169.254.169.254/latest/meta-data/"
CAP = 200_000
SECONDS = 1.5

Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One behaviour.

    Attributes:
        url: What is fetched, each in turn, by the same client.
        says: What the tool gives or raises, for each.
        seen: The connections that were made, as address:port and path.
        answers: By path, for every host.
        seconds: How long the slowest may take.
    """

    url: tuple[str, ...] = (f"http://{SITE}/",)
    says: tuple[str, ...]
    seen: tuple[str, ...] = (f"{SITE}:80/",)
    answers: Mapping[str, Answer] = field(default_factory=dict)
    zone: Zone = field(default_factory=dict)
    seconds: float = 5.0


def page(body: str | bytes = "hello", *headers: str, status: str = "200 OK") -> bytes:
    """Make a whole answer."""
    body = body.encode() if isinstance(body, str) else body
    typed = any(each.startswith("Content-Type:") for each in headers)
    lines = [
        f"HTTP/1.1 {status}",
        *headers,
        *([] if typed else ["Content-Type: text/plain"]),
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def to(location: str, status: int = 302) -> bytes:
    """Make a redirect."""
    return page("moved", f"Location: {location}", status=f"{status} Moved")


def got(url: str, text: str = "hello", status: int = 200) -> str:
    """Return what the tool says of a page."""
    return f"{url} answered {status}\n{text}"


def refused(reason: str) -> str:
    """Return what the tool says of a refusal."""
    return f"refused: {reason}. Only public pages can be fetched"


def failed(reason: str) -> str:
    """Return what the tool says of a failure."""
    return f"could not be fetched: {reason}. Try another page"


ANSWER = got(f"http://{SITE}/")
IN_METADATA = refused("169.254.169.254 is a cloud's metadata service")
IN_PRIVATE = refused("10.0.0.8 is a private network")
LATE = failed("no whole answer in time")
LARGE = failed(f"it is larger than {CAP} bytes")
NONSENSE = failed("the answer broke off or made no sense")
UNFOUND = failed("the host name was not found")
TWISTED = refused(
    "the URL is longer than 4000 characters, or holds spaces, control characters or backslashes "
    "(write them as %20 and so on)"
)
NOT_HTTP = refused("only complete http:// and https:// URLs can be fetched")
OTHER_PORT = refused("only the ports 80 and 443 are open; POLICY_ALLOW can name another")


async def _drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n")
    await _for_ever(writer, b"x", 0.2)


async def _drip_headers(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    await _for_ever(writer, b"a: b\r\n", 0.2)


async def _endless_headers(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    await _for_ever(writer, b"a: b\r\n" * 1000)


async def _endless_line(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\na: ")
    await _for_ever(writer, b"b" * 60_000)


async def _endless_hints(writer: asyncio.StreamWriter) -> None:
    await _for_ever(writer, b"HTTP/1.1 103 Early Hints\r\n\r\n", 0.01)


async def _endless_chunks(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    await _for_ever(writer, b"400\r\n" + b"x" * 1024 + b"\r\n")


async def _unsized(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    await _for_ever(writer, b"x" * 10_000)


async def _kept_open(writer: asyncio.StreamWriter) -> None:
    writer.write(page("hello", "Connection: keep-alive"))
    await asyncio.sleep(SECONDS + 1)


async def _for_ever(writer: asyncio.StreamWriter, data: bytes, pause: float = 0.0) -> None:
    while True:
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(pause)


def _name(*sets: str) -> Zone:
    return {"a.example.net": tuple(each.split() for each in sets)}


NAMED = "http://a.example.net/"
TARGETS = {
    "metadata": (METADATA, IN_METADATA),
    "file": ("file:///etc/passwd", NOT_HTTP),
    "slashes": ("//127.0.0.1/", refused("127.0.0.1 is this machine")),
    "private": ("http://10.0.0.8/", IN_PRIVATE),
}
FOLLOWED = (301, 302, 303, 307, 308)
REDIRECTS = {
    f"redirect {status} to {name}": Case(
        answers={"/": to(target, status)},
        says=(says if status in FOLLOWED else got(f"http://{SITE}/", "moved", status),),
    )
    for status in (300, 305, *FOLLOWED)
    for name, (target, says) in TARGETS.items()
}
LOOP = tuple(f"{SITE}:80/" for _ in range(6))
CHAIN = {f"/{n}": to(f"/{n + 1}") for n in range(20)}

CASES: dict[str, Case] = {
    **REDIRECTS,
    "meta refresh is not followed": Case(
        answers={
            "/": page(
                f"<meta http-equiv=refresh content='0;url={METADATA}'><p>hello",
                "Content-Type: text/html",
            )
        },
        says=(ANSWER,),
    ),
    "scripts are not run": Case(
        answers={
            "/": page(f"<script>location='{METADATA}'</script>hello", "Content-Type: text/html")
        },
        says=(ANSWER,),
    ),
    "a Refresh header is not followed": Case(
        answers={"/": page("hello", f"Refresh: 0; url={METADATA}")}, says=(ANSWER,)
    ),
    "public, public, private": Case(
        answers={"/": to(f"http://{OTHER}/b"), "/b": to("http://10.0.0.8/")},
        says=(IN_PRIVATE,),
        seen=(f"{SITE}:80/", f"{OTHER}:80/b"),
    ),
    "a redirect that is followed": Case(
        answers={"/": to(f"http://{OTHER}/b?c=d#e"), "/b?c=d": page()},
        says=(got(f"http://{OTHER}/b?c=d"),),
        seen=(f"{SITE}:80/", f"{OTHER}:80/b?c=d"),
    ),
    "a redirect to itself": Case(
        answers={"/": to("/")}, says=(failed("more than 5 redirects"),), seen=LOOP
    ),
    "too many redirects": Case(
        url=(f"http://{SITE}/0",),
        answers=CHAIN,
        says=(failed("more than 5 redirects"),),
        seen=tuple(f"{SITE}:80/{n}" for n in range(6)),
    ),
    "a relative redirect with backslashes": Case(
        answers={"/": to("/\\127.0.0.1/")}, says=(TWISTED,)
    ),
    "a redirect of backslashes": Case(answers={"/": to("\\\\127.0.0.1\\")}, says=(TWISTED,)),
    "a carriage return in a redirect": Case(
        answers={"/": to(f"http://{OTHER}/\rX: y")}, says=(NONSENSE,)
    ),
    "an encoded line break in a redirect": Case(
        answers={"/": to("/a%0d%0aX:%20y"), "/a%0d%0aX:%20y": page()},
        says=(got(f"http://{SITE}/a%0d%0aX:%20y"),),
        seen=(f"{SITE}:80/", f"{SITE}:80/a%0d%0aX:%20y"),
    ),
    "a tab in a redirect": Case(answers={"/": to("http://127.0.0.1\t/")}, says=(TWISTED,)),
    "a redirect to a user name": Case(
        answers={"/": to(f"http://{OTHER}@127.0.0.1/")},
        says=(refused("the URL holds a user name or an @ before the host"),),
    ),
    "a redirect to another port": Case(
        answers={"/": to(f"http://{SITE}:8080/")}, says=(OTHER_PORT,)
    ),
    "a redirect to an inner name": Case(
        answers={"/": to("http://db.internal/")},
        zone={"*": [[OTHER]]},
        says=(refused("the host is a name of an inner network"),),
    ),
    "from https to http": Case(
        url=("https://good.example.net/",),
        zone={"good.example.net": [[SITE]]},
        answers={"/": to("http://good.example.net/b")},
        says=(refused("a redirect leads from https to http"),),
        seen=(f"{SITE}:443/",),
    ),
    "cookies and credentials are never sent": Case(
        url=(NAMED,),
        zone={"a.example.net": [[SITE]], "b.example.net": [[OTHER]]},
        answers={
            "/": page("x", "Set-Cookie: a=b", "Location: /b", status="302 Moved"),
            "/b": page(
                "x",
                "Set-Cookie: c=d; Domain=example.net",
                "Location: http://b.example.net/c",
                status="302 Moved",
            ),
            "/c": page("who?", 'WWW-Authenticate: Basic realm="x"', status="401 Who"),
        },
        says=(got("http://b.example.net/c", "who?", 401),),
        seen=(f"{SITE}:80/", f"{SITE}:80/b", f"{OTHER}:80/c"),
    ),
    "one answer set, public and private": Case(
        url=(NAMED,), zone=_name(f"{SITE} 10.0.0.8"), says=(IN_PRIVATE,), seen=()
    ),
    "rebinding between fetches": Case(
        url=(NAMED, NAMED),
        zone=_name(SITE, "10.0.0.8"),
        answers={"/": page()},
        says=(got(NAMED), IN_PRIVATE),
    ),
    "rebinding between redirects": Case(
        url=(NAMED,), zone=_name(SITE, "10.0.0.8"), answers={"/": to("/b")}, says=(IN_PRIVATE,)
    ),
    "private IPv6, public IPv4": Case(
        url=(NAMED,),
        zone=_name(f"fd00::8 {SITE}"),
        says=(refused("fd00::8 is a private network"),),
        seen=(),
    ),
    "an alias of an inner name": Case(
        url=(NAMED,),
        zone={"a.example.net": [[">db.internal"]], "db.internal": [["10.0.0.8"]]},
        says=(IN_PRIVATE,),
        seen=(),
    ),
    "a name with a final dot": Case(
        url=("http://a.example.net./",), zone=_name(SITE), answers={"/": page()}, says=(got(NAMED),)
    ),
    "a name of the search domain": Case(
        url=("http://web.sub/",),
        zone={"web.sub.inner.example.net": [[OTHER]]},
        says=(UNFOUND,),
        seen=(),
    ),
    "a name of the hosts file": Case(
        url=("http://hosts.example.net/", "http://only-hosts.example.net/"),
        zone={"hosts.example.net": [[SITE]]},
        answers={"/": page()},
        says=(got("http://hosts.example.net/"), UNFOUND),
    ),
    "a name server that is silent": Case(
        url=(NAMED,), zone={"a.example.net": []}, says=(LATE,), seen=(), seconds=SECONDS + 1
    ),
    "the proxies of the environment": Case(
        url=(NAMED,), zone=_name(SITE), answers={"/": page()}, says=(got(NAMED),)
    ),
    "a host that the environment frees of proxies": Case(
        url=("http://example.com/", "http://inner.example.com/"),
        zone={"example.com": [[SITE]], "inner.example.com": [["10.0.0.8"]]},
        answers={"/": page()},
        says=(got("http://example.com/"), IN_PRIVATE),
    ),
    "a name that does not exist": Case(url=(NAMED,), says=(UNFOUND,), seen=()),
    "IPv6": Case(
        url=(NAMED,),
        zone=_name("2606:4700:4700::1111"),
        answers={"/": page()},
        says=(got(NAMED),),
        seen=("2606:4700:4700::1111:80/",),
    ),
    "https with a certificate for the name": Case(
        url=("https://good.example.net/",),
        zone={"good.example.net": [[SITE]]},
        answers={"/": page()},
        says=(got("https://good.example.net/"),),
        seen=(f"{SITE}:443/",),
    ),
    "https with a certificate for another name": Case(
        url=("https://bad.example.net/",),
        zone={"bad.example.net": [[SITE]]},
        says=(failed("the certificate of the host is not valid for it"),),
        seen=(f"{SITE}:443",),
    ),
    "a body of a size that is too large": Case(
        answers={"/": page(b"x" * (CAP + 1))}, says=(LARGE,)
    ),
    "a body without a size": Case(answers={"/": _unsized}, says=(LARGE,)),
    "gzip": Case(
        answers={"/": page(gzip.compress(b"hello"), "Content-Encoding: gzip")}, says=(ANSWER,)
    ),
    "a gzip bomb": Case(
        answers={"/": page(gzip.compress(b"\0" * 50_000_000), "Content-Encoding: gzip")},
        says=(LARGE,),
    ),
    "gzip that is cut": Case(
        answers={"/": page(gzip.compress(b"hello")[:-9], "Content-Encoding: gzip")},
        says=(NONSENSE,),
    ),
    "gzip that is none": Case(
        answers={"/": page("hello", "Content-Encoding: gzip")}, says=(NONSENSE,)
    ),
    "gzip with more behind it": Case(
        answers={"/": page(gzip.compress(b"hello") * 2, "Content-Encoding: gzip")},
        says=(NONSENSE,),
    ),
    **{
        f"packed as {name}": Case(
            answers={"/": page("hello", f"Content-Encoding: {name}")},
            says=(failed("it is packed in a way that was not asked for"),),
        )
        for name in ("br", "zstd", "deflate", "gzip, gzip", "compress")
    },
    "one byte at a time": Case(answers={"/": _drip}, says=(LATE,)),
    "one header at a time": Case(answers={"/": _drip_headers}, says=(LATE,)),
    "endless headers": Case(answers={"/": _endless_headers}, says=(NONSENSE,)),
    "an endless header": Case(answers={"/": _endless_line}, says=(NONSENSE,)),
    "endless early hints": Case(answers={"/": _endless_hints}, says=(LATE,)),
    "endless chunks": Case(answers={"/": _endless_chunks}, says=(LARGE,)),
    "a kept connection and a changed address": Case(
        url=(NAMED, NAMED),
        zone=_name(SITE, OTHER),
        answers={"/": _kept_open},
        says=(got(NAMED), got(NAMED)),
        seen=(f"{SITE}:80/", f"{OTHER}:80/"),
    ),
    "another service for the same name": Case(
        url=(NAMED, NAMED),
        zone=_name(SITE),
        answers={"/": page("hello", 'Alt-Svc: h2="10.0.0.8:80"; ma=9')},
        says=(got(NAMED), got(NAMED)),
        seen=(f"{SITE}:80/", f"{SITE}:80/"),
    ),
    "a file name with a path": Case(
        answers={"/": page("hello", "Content-Disposition: attachment; filename=../../etc/x")},
        says=(ANSWER,),
    ),
    "a link-local address with a zone": Case(
        url=("http://[fe80::1%25lo]/", "http://[fe80::1%lo]/"),
        says=(refused("the host of the URL cannot be read"),) * 2,
        seen=(),
    ),
    "a switch of protocols": Case(
        answers={"/": page("", "Upgrade: x", "Connection: upgrade", status="101 Switch")},
        says=(got(f"http://{SITE}/", "", 101).rstrip(),),
    ),
    "a picture": Case(
        answers={"/": page(b"\x89PNG\r\n", "Content-Type: image/png")},
        says=(failed("it is a file that is not text (a picture, an archive, a PDF, ...)"),),
    ),
}

BEHAVIOURS = (
    *(f"redirect {status}" for status in (300, 301, 302, 303, 305, 307, 308)),
    "meta refresh is not followed",
    "scripts are not run",
    "public, public, private",
    "a redirect to itself",
    "too many redirects",
    "a relative redirect with backslashes",
    "a carriage return in a redirect",
    "a redirect to another port",
    "from https to http",
    "cookies and credentials are never sent",
    "one answer set, public and private",
    "rebinding between fetches",
    "rebinding between redirects",
    "private IPv6, public IPv4",
    "an alias of an inner name",
    "a name with a final dot",
    "a name of the search domain",
    "a name of the hosts file",
    "a name server that is silent",
    "the proxies of the environment",
    "a host that the environment frees of proxies",
    "https with a certificate for the name",
    "https with a certificate for another name",
    "a body of a size that is too large",
    "a gzip bomb",
    "packed as",
    "one byte at a time",
    "endless headers",
    "endless chunks",
    "a kept connection and a changed address",
    "another service for the same name",
    "a file name with a path",
    "a link-local address with a zone",
)
"""How the names of the cases begin, one for each behaviour; the other cases are more of them."""
