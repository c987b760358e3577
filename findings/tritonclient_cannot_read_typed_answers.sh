#!/usr/bin/env bash
# tritonclient: the gRPC client cannot read numbers that a server puts where the protocol has a field for them.
#
# Guess:  A client of the Open Inference Protocol reads both forms that the protocol has for the numbers of an answer: raw
#         bytes, and a typed list such as fp32_contents. InferResult.as_numpy returns the same array for both.
# Seen:   tritonclient 2.73.0 (grpcio 1.85.3, protobuf 6.33.6, numpy 2.4.6). as_numpy reads raw bytes only. With a typed
#         list, it raises "cannot reshape array of size 0", although get_output shows the numbers.
# Matters: Triton itself answers with raw bytes. A server of another project that fills in the typed lists is a valid one,
#         too, and the error looks like one of the model's shape.
# Read get_output(name).contents where raw_output_contents is empty.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    "tritonclient[grpc]==2.73.0" grpcio==1.85.3 protobuf==6.33.6 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput, service_pb2, service_pb2_grpc

NUMBERS = np.array([[1.0, 2.0, 3.0]], np.float32)


class Server(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Answers with three numbers, as raw bytes or as a typed list."""

    def ModelInfer(self, request, context):
        answer = service_pb2.ModelInferResponse(model_name=request.model_name)
        output = answer.outputs.add(name="points", datatype="FP32", shape=NUMBERS.shape)
        if request.model_name == "raw":
            answer.raw_output_contents.append(NUMBERS.tobytes())
        else:
            output.contents.fp32_contents.extend(NUMBERS.ravel().tolist())
        return answer


def read(client, form):
    given = InferInput("image", [1], "FP32")
    given.set_data_from_numpy(np.zeros(1, np.float32))
    result = client.infer(form, [given])
    try:
        return result.as_numpy("points"), list(result.get_output("points").contents.fp32_contents)
    except ValueError as error:
        return error, list(result.get_output("points").contents.fp32_contents)


server = grpc.server(ThreadPoolExecutor(1))
service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Server(), server)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
with InferenceServerClient(f"127.0.0.1:{port}") as client:
    found = {form: read(client, form) for form in ("raw", "typed")}
server.stop(0)
for form, (array, contents) in found.items():
    print(f"{form:6} as_numpy: {array}, typed list: {contents}")
assert np.array_equal(found["raw"][0], NUMBERS)
assert isinstance(found["typed"][0], ValueError), "the behavior has changed: typed answers are read"
assert found["typed"][1] == [1.0, 2.0, 3.0]
PYTHON
