# docker build -f launch/docker/cpu.Dockerfile -t gen_jax .
# docker run --rm -v "$PWD/runs:/work/runs" gen_jax --config=configs/vae.py
FROM python:3.12-slim

# g++ compiles the convolutions that use oneDNN at their first use.
RUN apt-get update \
  && apt-get install -y --no-install-recommends g++ \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /work
COPY . .
RUN pip install --no-cache-dir -e '.[native,tfds]'
ENTRYPOINT ["python", "-m", "gen_jax.main"]
CMD ["--help"]
