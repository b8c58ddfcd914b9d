"""Time the gradients of a set of images against one epoch of training on them, without the optimiser's step.

Random images and labels, untrained networks. Three ways to differentiate three times: one after another, as
`latentgen.gradients` does, all at once (``is_grads_batched``), and by ``torch.func``. Runs alternate, and ratios are
medians over pairs of neighbours; the sums must agree.

    OMP_NUM_THREADS=1 python benchmarks/gradients.py [--model resnet18 --width 8 --images 500]
"""

import argparse
import platform
import statistics
import time

import torch
from torch.nn import functional

from latentgen import models
from latentgen.compute import use_threads
from latentgen.gradients.passes import CHUNK, cotangents, summed

SHAPES = {"mlp": (1, 28, 28), "cnn": (1, 28, 28), "resnet18": (3, 32, 32), "vgg16": (3, 32, 32)}


def train(model, images, labels, batch_size=128):
    model.train()
    for index in torch.arange(len(images)).split(batch_size):
        functional.cross_entropy(model(images[index]), labels[index]).backward()
        model.zero_grad(set_to_none=True)
    model.eval()


def one_by_one(model, images, labels):
    everything = torch.arange(len(images)).numpy()
    return summed(model, images.__getitem__, labels, [everything], list(model.parameters()))[0]


def batched(model, images, labels):
    parameters, total = list(model.parameters()), 0
    for index in torch.arange(len(images)).split(CHUNK):
        logits = model(images[index])
        of_logits = cotangents(logits.detach().double(), labels[index]).float()
        gradients = torch.autograd.grad(logits, parameters, of_logits, is_grads_batched=True)
        total = total + torch.cat([part.flatten(1) for part in gradients], 1).double()
    return total


def functional_transforms(model, images, labels):
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    buffers, total = dict(model.named_buffers()), 0
    for index in torch.arange(len(images)).split(CHUNK):
        chunk = images[index]
        logits, pull = torch.func.vjp(
            lambda weights, x=chunk: torch.func.functional_call(model, (weights, buffers), x), parameters
        )
        gradients = torch.vmap(pull)(cotangents(logits.detach().double(), labels[index]).float())[0]
        total = total + torch.cat([part.flatten(1) for part in gradients.values()], 1).double()
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=SHAPES, default="cnn")
    parser.add_argument("--width", type=int, help="of resnet18 and vgg16")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    use_threads(1)
    torch.manual_seed(0)
    shape = SHAPES[arguments.model]
    images, labels = torch.randn(arguments.images, *shape), torch.randint(10, (arguments.images,))
    options = {} if arguments.width is None else {"width": arguments.width}
    model = models.build(arguments.model, shape, 10, 0, options).eval()
    initial = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    ways, seconds, found = (train, one_by_one, batched, functional_transforms), {}, {}
    for _ in range(arguments.repeats):
        for way in ways:
            model.load_state_dict(initial)  # training moves running statistics
            start = time.perf_counter()
            found[way] = way(model, images, labels)
            seconds.setdefault(way, []).append(time.perf_counter() - start)
    for way in (batched, functional_transforms):
        torch.testing.assert_close(found[way], found[one_by_one], rtol=1e-3, atol=1e-3)
    print(f"Python {platform.python_version()}, torch {torch.__version__}, one thread, {arguments.model}")
    for way, times in seconds.items():
        ratio = statistics.median(time / base for time, base in zip(times, seconds[train], strict=True))
        each = statistics.median(times) / arguments.images * 1000
        print(f"{way.__name__}: {each:.2f} s per 1,000 images, {ratio:.2f} times training")


if __name__ == "__main__":
    main()
