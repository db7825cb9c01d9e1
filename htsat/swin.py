"""The Swin transformer under HTS-AT.

Liu, Lin, Cao, Hu, Wei, Zhang, Lin, Guo, "Swin Transformer: Hierarchical Vision Transformer using
Shifted Windows", ICCV 2021, arXiv 2103.14030. Same function and same parameter names as timm's
`SwinTransformer`, which a test enforces; what differs is the order of the tokens. Within a stage
they lie in the order of the block's windows, so that shifting the windows is one gather between
two blocks, with no roll, partition or reversal. Everything outside attention works token by token
and needs no window at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from modelkit import kernels

Pair = tuple[int, int]
Map = Callable[[Tensor], Tensor]
Checkpointing = Literal["none", "mlp", "blocks"]


class SwinTransformer(nn.Module):
    """Image (B, 1, H, W) to tokens (B, h, w, D), by `norm(layers(patch_embed(image)))`.

    Args:
        image: H and W.
        patch_size: side of a patch.
        embed_dim: width of the first stage; each stage doubles it.
        depths, heads: blocks and attention heads per stage.
        window_size: side of the attention windows, which must divide every grid.
        mlp_ratio: hidden width of the MLPs over their input's.
        drop_path: stochastic depth of the last block; it grows linearly from 0.
        checkpointing: to save memory, recompute in the backward pass what is inside the MLPs
            ("mlp": about half the memory) or inside whole blocks ("blocks": a tenth of the memory
            for a third more time).

    Raises:
        ValueError: windows do not divide a grid.
    """

    def __init__(
        self,
        image: Pair,
        patch_size: int,
        embed_dim: int,
        depths: tuple[int, ...],
        heads: tuple[int, ...],
        window_size: int,
        mlp_ratio: float,
        drop_path: float,
        checkpointing: Checkpointing = "none",
    ) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(patch_size, embed_dim)
        grid = (image[0] // patch_size, image[1] // patch_size)
        rates = torch.linspace(0, drop_path, sum(depths), dtype=torch.float64, device="cpu")
        stages = []
        for number, (count, drop) in enumerate(zip(heads, rates.split(list(depths)), strict=True)):
            width = embed_dim * 2**number
            if number:
                grid = (grid[0] // 2, grid[1] // 2)
            _check_windows(grid, window_size, number + 1)
            blocks = [
                Block(width, grid, count, window_size, i % 2 == 1, mlp_ratio, rate, checkpointing)
                for i, rate in enumerate(drop.tolist())
            ]
            merging = PatchMerging(width // 2) if number else nn.Identity()
            stages.append(Stage(merging, blocks))
        self.layers = nn.Sequential(*stages)
        self.num_features = embed_dim * 2 ** (len(depths) - 1)
        self.norm = nn.LayerNorm(self.num_features)
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 1, H, W) to (B, h, w, D)."""
        return self.norm(self.layers(self.patch_embed(image)))


class PatchEmbed(nn.Module):
    """(B, 1, H, W) to (B, H / p, W / p, D): a linear map of each patch, then a layer norm."""

    def __init__(self, patch_size: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, width, patch_size, patch_size)
        self.norm = nn.LayerNorm(width)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 1, H, W) to (B, H / p, W / p, D)."""
        return self.norm(kernels.embed_patches(self.proj, image))


class PatchMerging(nn.Module):
    """(B, H, W, C) to (B, H / 2, W / 2, 2 C)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The four neighbours side by side in the order (0, 0), (1, 0), (0, 1), (1, 1)."""
        x = x.unflatten(2, (-1, 2)).unflatten(1, (-1, 2))
        return self.reduction(self.norm(x.permute(0, 1, 3, 4, 2, 5).flatten(3)))


class Stage(nn.Module):
    """Merging, then blocks; takes and gives tokens row by row (B, H, W, C)."""

    def __init__(self, downsample: nn.Module, blocks: list[Block]) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.Sequential(*blocks)
        for number, (last, block) in enumerate(zip([None, *blocks], [*blocks, None], strict=True)):
            self.register_buffer(f"order{number}", _regroup(last, block), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) of the stage before to (B, H', W', C')."""
        x = self.downsample(x)
        tokens = x.flatten(1, 2)
        for number, block in enumerate(self.blocks):
            tokens = block(tokens[:, self.get_buffer(f"order{number}")])
        return tokens[:, self.get_buffer(f"order{len(self.blocks)}")].view_as(x)


class Block(nn.Module):
    """Attention within windows and an MLP, each added to its input.

    Attributes:
        window_size: (height, width) in tokens, no larger than the grid.
        order: (L,) int64, the tokens of the grid, row by row, in the order of the windows.
        attn_mask: (windows, N, N), -inf between tokens that the cyclic shift has brought together,
            0 elsewhere; None without a shift.
    """

    def __init__(
        self,
        width: int,
        grid: Pair,
        heads: int,
        window_size: int,
        shifted: bool,
        mlp_ratio: float,
        drop_path: float,
        checkpointing: Checkpointing = "none",
    ) -> None:
        super().__init__()
        self.window_size = (min(window_size, grid[0]), min(window_size, grid[1]))
        height, length = (
            window_size // 2 if shifted and side > window_size else 0 for side in grid
        )
        shift = (height, length)
        self.order, mask = _windows(grid, self.window_size, shift)
        self.register_buffer("attn_mask", mask if any(shift) else None, persistent=False)
        self.drop_path, self.checkpointing = drop_path, checkpointing
        self.norm1 = nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads, self.window_size)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = MLP(width, int(width * mlp_ratio))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L, C) in the order of the windows to the same."""
        return self._compute(tokens, self._both, "blocks")

    def _both(self, tokens: Tensor) -> Tensor:
        drop = self.drop_path if self.training else 0.0
        tokens = kernels.add_branch(
            tokens, lambda x: self.attn(self.norm1(x), self.attn_mask), drop
        )
        return kernels.add_branch(
            tokens, lambda x: self._compute(x, lambda y: self.mlp(self.norm2(y)), "mlp"), drop
        )

    def _compute(self, x: Tensor, part: Map, name: Checkpointing) -> Tensor:
        """`part(x)`; only `x` is stored if this part is checkpointed."""
        if self.checkpointing != name or not torch.is_grad_enabled():
            return part(x)
        kept: Tensor = checkpoint(part, x, use_reentrant=False)
        return kept


class MLP(nn.Module):
    """Two linear maps with a GELU between."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) to (..., C)."""
        return self.fc2(F.gelu(self.fc1(x)))


class WindowAttention(nn.Module):
    """Multi-head attention within windows, with a learnt bias per offset between two tokens."""

    relative_position_index: Tensor

    def __init__(self, width: int, heads: int, window_size: Pair) -> None:
        super().__init__()
        self.heads, self.window_size = heads, window_size
        rows = (2 * window_size[0] - 1) * (2 * window_size[1] - 1)
        self.relative_position_bias_table = nn.Parameter(torch.empty(rows, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.register_buffer("relative_position_index", _offsets(window_size), persistent=False)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(B, L, C), window after window, to the same; mask (windows, N, N) or None."""
        tokens = len(self.relative_position_index)
        qkv = self.qkv(x).unflatten(2, (3, self.heads, -1)).unflatten(1, (-1, tokens))
        bias = self._bias(mask).to(qkv.dtype)
        return self.proj(kernels.window_attention(qkv, bias).reshape(x.shape))

    def _bias(self, mask: Tensor | None) -> Tensor:
        """Relative position bias plus mask: (windows or 1, heads, N, N)."""
        index, table = self.relative_position_index, self.relative_position_bias_table
        bias = F.embedding(index, table).permute(2, 0, 1).unsqueeze(0)
        return bias.contiguous() if mask is None else bias + mask.unsqueeze(1)


def _windows(grid: Pair, window: Pair, shift: Pair) -> tuple[Tensor, Tensor]:
    """Tokens in the order of cyclically shifted windows (L,), and their mask (windows, N, N).

    Tokens of one window that were no neighbours before the shift are kept apart by -inf. The
    released code has -100 there, which leaves a weight of exp(-100): nothing beside the others,
    but a subnormal number, and Intel's cores take many times longer to multiply one.
    """
    tokens = torch.arange(grid[0] * grid[1]).view(grid)
    order = _cut(tokens.roll((-shift[0], -shift[1]), (0, 1)), window)
    row, column = (_region(size, w, s) for size, w, s in zip(grid, window, shift, strict=True))
    region = _cut(row[:, None] * 3 + column, window)
    apart = region[:, :, None] != region[:, None, :]
    return order.flatten(), torch.zeros(apart.shape).masked_fill_(apart, -torch.inf)


def _region(size: int, window: int, shift: int) -> Tensor:
    """Of each position after the shift: 0 whole windows, 1 the last one's rest, 2 wrapped round."""
    position = torch.arange(size)
    return (position >= size - window).long() + (position >= size - shift).long()


def _cut(grid: Tensor, window: Pair) -> Tensor:
    """(H, W) to (windows, N)."""
    pieces = grid.unflatten(1, (-1, window[1])).unflatten(0, (-1, window[0]))
    return pieces.transpose(1, 2).flatten(2).flatten(0, 1)


def _offsets(window: Pair) -> Tensor:
    """(N, N) row of the bias table for each pair of tokens of a window."""
    row, column = torch.meshgrid(*map(torch.arange, window), indexing="ij")
    row, column = row.flatten(), column.flatten()
    rows = row[:, None] - row + window[0] - 1
    return rows * (2 * window[1] - 1) + column[:, None] - column + window[1] - 1


def _regroup(last: Block | None, block: Block | None) -> Tensor:
    """Indices that bring tokens from one block's order to the next's; None is row by row."""
    if block is None:
        assert last is not None
        return last.order.argsort()
    return block.order if last is None else last.order.argsort()[block.order]


def _check_windows(grid: Pair, window_size: int, stage: int) -> None:
    """Refuse attention windows that do not divide the grid: they would attend to padding."""
    window = tuple(min(window_size, side) for side in grid)
    if any(tokens % side for tokens, side in zip(grid, window, strict=True)):
        raise ValueError(
            f"attention windows of {window} do not divide the grid {grid} of stage {stage}; choose "
            "another window_size"
        )


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
