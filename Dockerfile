# The page in a container, for a Docker Space or one's own machine:
#     docker build -t rlhf-demo . && docker run -p 7860:7860 -v rlhf-runs:/home/user/app/runs rlhf-demo
# On a GPU, with the CUDA build of torch, which is what PyPI has for Linux:
#     docker build -t rlhf-demo-gpu --build-arg TORCH_INDEX=https://pypi.org/simple .
#     docker run --gpus all -p 7860:7860 -v rlhf-runs:/home/user/app/runs rlhf-demo-gpu
FROM python:3.12-slim

# Spaces run containers as user 1000 whatever is written here; so do we everywhere.
RUN useradd --create-home --uid 1000 user
WORKDIR /home/user/app

ENV GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860 \
    GRADIO_ANALYTICS_ENABLED=False \
    RLHF_DEMO_RUNS=/home/user/app/runs \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONUNBUFFERED=1

# torch goes first and from its own index: several GB smaller without CUDA. Its version stands in
# requirements.txt only; the second install finds it there already.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY requirements.txt ./
RUN pip install --index-url "$TORCH_INDEX" "$(grep -oE '^torch==[^ #]+' requirements.txt)"
RUN pip install -r requirements.txt

# What this takes along is named in .dockerignore.
# It belongs to root: whoever gets into the page cannot change its code.
COPY . .
RUN python -m compileall -q app.py rlhf_demo

# Made before VOLUME, so that a fresh volume belongs to the user. What is fetched from the Hub is
# kept with -v rlhf-hub:/home/user/.cache/huggingface.
RUN mkdir -p "$RLHF_DEMO_RUNS" /home/user/.cache/huggingface \
    && chown -R user "$RLHF_DEMO_RUNS" /home/user/.cache
VOLUME /home/user/app/runs
USER 1000
EXPOSE 7860
HEALTHCHECK --start-period=120s --interval=30s --timeout=10s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/', timeout=8)"]

# Python as process 1 heeds this one from the first moment on; SIGTERM, once the page is up. Running
# trainings save first, which takes 8 of the 10 seconds at most.
STOPSIGNAL SIGINT
CMD ["python", "app.py"]
