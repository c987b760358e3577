# The edge image: `edgehrnet serve document-corners`, without torch and without a compiler, as a user without rights.
#
#   docker build --tag edgehrnet .
#   docker run --read-only --publish 8000:8000 --publish 8001:8001 edgehrnet
#
# The server compares the model with its certificate before it listens. Another model: mount it, and pass its path.
FROM debian:bookworm-slim AS build
RUN apt-get update && apt-get install --yes --no-install-recommends python3 python3-venv
COPY pyproject.toml constraints.txt README.md LICENSE /source/
COPY edgehrnet /source/edgehrnet
COPY quant /source/quant
COPY runtimes /source/runtimes
RUN python3 -m venv /opt/edgehrnet
RUN /opt/edgehrnet/bin/pip install --no-cache-dir --no-compile --constraint /source/constraints.txt "/source[openvino,serve]"
# What a server on a CPU never opens: the plugins of other devices, the readers of other formats, and pip.
RUN cd /opt/edgehrnet/lib/python3*/site-packages && \
    rm -rf openvino/libs/libopenvino_intel_[gn]pu* openvino/libs/cache.json openvino/include \
           openvino/libs/libopenvino_*torch* openvino/libs/libopenvino_tensorflow* openvino/libs/libopenvino_paddle* \
           openvino/libs/libopenvino_jax* openvino/libs/libopenvino_gguf* openvino/libs/libopenvino_onnx* \
           pip pip-* setuptools setuptools-*

FROM debian:bookworm-slim
RUN apt-get update && apt-get install --yes --no-install-recommends python3 && rm -rf /var/lib/apt/lists /var/cache/apt
COPY --from=build /opt/edgehrnet /opt/edgehrnet
ENV PATH=/opt/edgehrnet/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1
USER 10001
EXPOSE 8000 8001
HEALTHCHECK CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/v2/health/ready')"]
ENTRYPOINT ["edgehrnet", "serve", "--host", "0.0.0.0"]
CMD ["document-corners"]
