# The explorer in a container, on the CPU. How to build and run it: docs/deploy.md.
FROM python:3.11-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY ctsft ctsft
COPY explorer explorer
COPY assets/demo assets/demo
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim
ENV PYTHONUNBUFFERED=1 \
    CTSFT_HOME=/data/ctsft \
    HF_HOME=/data/huggingface
COPY requirements.txt /tmp/requirements.txt
COPY --from=build /wheels /tmp/wheels
# The pinned versions; of torch the build without CUDA, which is several times smaller.
RUN pip install --no-cache-dir --constraint /tmp/requirements.txt \
        --extra-index-url https://download.pytorch.org/whl/cpu /tmp/wheels/*.whl \
    && rm -r /tmp/wheels /tmp/requirements.txt \
    && useradd --create-home --uid 1000 explorer \
    && install --directory --owner explorer --group explorer /data
USER explorer
WORKDIR /home/explorer
VOLUME /data
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"]
# Inside the container every address: which machines reach it is decided where the port is published.
CMD ["ctsft", "ui", "--address", "0.0.0.0", "--port", "8501", "--no-browser"]
