# The page in a container, for a Docker Space or one's own machine:
#     docker build -t rlhf-demo . && docker run -p 7860:7860 -v rlhf-runs:/home/user/app/runs rlhf-demo
# On a GPU, with the CUDA build of torch, which is what PyPI has for Linux:
#     docker build -t rlhf-demo-gpu --build-arg TORCH_INDEX=https://pypi.org/simple .
#     docker run --gpus all -p 7860:7860 -v rlhf-runs:/home/user/app/runs rlhf-demo-gpu
FROM python:3.12-slim

# Spaces run containers as user 1000, whatever this file says; so do we everywhere.
RUN useradd --create-home --uid 1000 user
WORKDIR /home/user/app

ENV GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860 \
    GRADIO_ANALYTICS_ENABLED=False \
    RLHF_DEMO_RUNS=/home/user/app/runs \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONUNBUFFERED=1

# torch comes first and from its own index: without CUDA it is several GB smaller. Only
# requirements.txt names its version; the second install finds it installed.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY requirements.txt ./
RUN pip install --index-url "$TORCH_INDEX" "$(grep -oE '^torch==[^ #]+' requirements.txt)"
RUN pip install -r requirements.txt

# .dockerignore says which files this copies.
# The code belongs to root, so that an attacker inside the page cannot change it.
COPY . .
RUN python -m compileall -q app.py rlhf_demo

# Created before VOLUME, so that a new volume belongs to the user. To keep the files from the Hub, add
# -v rlhf-hub:/home/user/.cache/huggingface.
RUN mkdir -p "$RLHF_DEMO_RUNS" /home/user/.cache/huggingface \
    && chown -R user "$RLHF_DEMO_RUNS" /home/user/.cache
VOLUME /home/user/app/runs
USER 1000
EXPOSE 7860
HEALTHCHECK --start-period=120s --interval=30s --timeout=10s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/', timeout=8)"]

# As process 1, Python handles this signal from the start, but SIGTERM only once the page is up.
# Running trainings save first, which takes at most 8 of the 10 seconds.
STOPSIGNAL SIGINT
CMD ["python", "app.py"]
