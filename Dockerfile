ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS packages
COPY requirements.lock /
RUN python3 -m venv /opt/assurebot \
 && /opt/assurebot/bin/pip install --no-cache-dir --require-hashes -r /requirements.lock \
 && /opt/assurebot/bin/pip uninstall --yes pip \
 && printf '#!/opt/assurebot/bin/python\nimport sys\nfrom assurebot.__main__ import main\nsys.exit(main())\n' \
    > /opt/assurebot/bin/assurebot \
 && chmod 755 /opt/assurebot/bin/assurebot
COPY assurebot /src/assurebot
RUN cp -r /src/assurebot "$(/opt/assurebot/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
 && /opt/assurebot/bin/python -m compileall -q /opt/assurebot/lib

# The Python of the embedded box. Only what it is made of is copied: other changes do not build it.
FROM ${BASE_IMAGE} AS component
COPY requirements-build.lock /
RUN python3 -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --require-hashes -r /requirements-build.lock
COPY assurebot/__init__.py assurebot/errors.py /src/assurebot/
COPY assurebot/sandbox/__init__.py assurebot/sandbox/component.py /src/assurebot/sandbox/
COPY assurebot/sandbox/guest /src/assurebot/sandbox/guest
RUN cd /src \
 && /opt/build/bin/python -c 'from pathlib import Path; from assurebot.sandbox.component import build; build(Path("/component"))'

FROM ${BASE_IMAGE}
COPY --from=packages /opt/assurebot /opt/assurebot
COPY --from=component /component /opt/assurebot/share/assurebot
ENV PATH=/opt/assurebot/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/nonexistent \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DATA_DIR=/data \
    HOST=0.0.0.0
RUN install -d -m 0700 -o 65534 -g 65534 /data
WORKDIR /
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('PORT') or 8080), timeout=4); c.request('GET', '/health'); sys.exit(c.getresponse().status != 200)"]
# It starts as root to take over a volume that root owns, and leaves root before the program.
# `docker run --user 65534` works too, with a volume that this user may write.
ENTRYPOINT ["python", "-I", "-m", "assurebot.entrypoint", "--"]
CMD ["assurebot", "run"]
