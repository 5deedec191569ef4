# docker build -f launch/docker/cuda.Dockerfile -t gen_jax:cuda .
# docker run --rm --gpus=all -v "$PWD/runs:/work/runs" gen_jax:cuda \
#   --config=configs/dcgan.py
#
# The wheels of JAX bring CUDA; the host needs only NVIDIA's driver and the
# NVIDIA Container Toolkit.
FROM python:3.12-slim

WORKDIR /work
COPY . .
RUN pip install --no-cache-dir -e '.[cuda,tfds]'
ENTRYPOINT ["python", "-m", "gen_jax.main"]
CMD ["--help"]
