"""What the page 'Several machines' leaves open."""

MODEL = """
import torch

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 2)

    def forward(self, images, targets):
        code = self.layer(images)
        return {"recon": ((code - targets) ** 2).mean(), "kl": code.exp().mean()}
"""
