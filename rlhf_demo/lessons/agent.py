"""You are the agent: choose six tokens, and compare your score with that of the PPO model."""

from typing import Any

import torch

from rlhf_demo.errors import ConfigError
from rlhf_demo.explain.gpt2 import Network, forward
from rlhf_demo.lessons.looks import AgentLook, Move, Outcome
from rlhf_demo.lessons.request import Models, number_of, rounded
from rlhf_demo.models.sampling import decode

STARTS = ("The cast of this show was", "I watched this film and", "The plot was")
"""Texts to begin with."""
MOVES, CHOICES = 6, 5
"""Tokens to choose, and how many the player can choose from each time."""
TIE = 0.05
"""Mean scores this close count as equal."""
MINUS = str.maketrans("-", "\u2212")


def look(models: Models, request: dict[str, Any]) -> AgentLook:
    """Return the state of a game.

    Args:
        request: `start`, the place of a text in STARTS; `moves`, the list of chosen token ids.

    Raises:
        DemoError: the start or a move cannot be used.
    """
    start = number_of(request, "start", 0, 0, len(STARTS) - 1)
    prompt = models.ids(STARTS[start])
    network = models.network("base")
    moves = _moves_of(request, len(network.tokens))
    logits = forward(network, torch.tensor(prompt + moves)).out[len(prompt) - 1 :]
    offered = logits.topk(CHOICES).indices.tolist()
    for place, move in enumerate(moves):
        if move not in offered[place] or _ended(models, moves[:place]):
            raise ConfigError(f"move {place + 1} is not a choice in this game: begin again")
    is_over = len(moves) == MOVES or _ended(models, moves)
    written = _by_model(models, models.network("ppo"), prompt) if is_over else []
    return {
        "starts": list(STARTS),
        "start": start,
        "moves": moves,
        "pieces": models.pieces(moves),
        "choices": [] if is_over else _choices(models, logits[-1]),
        "left": 0 if is_over else MOVES - len(moves),
        "score": round(_scores(models, [prompt + moves])[0], 2) if is_over else None,
        "ppo_text": "".join(models.pieces(written)),
        "ppo_score": round(_scores(models, [prompt + written])[0], 2) if is_over else None,
    }


def outcome(models: Models) -> Outcome:
    """Return who scores higher: a player who looks one token ahead, or the PPO model."""
    prompts = [models.ids(start) for start in STARTS]
    player = _mean(models, [prompt + _one_ahead(models, prompt) for prompt in prompts])
    network = models.network("ppo")
    model = _mean(models, [prompt + _by_model(models, network, prompt) for prompt in prompts])
    result = (
        f"Over {len(STARTS)} prompts, the player who looks one token ahead scores {player:+.2f} "
        f"on average, and the PPO model scores {model:+.2f}."
    ).translate(MINUS)
    if abs(player - model) < TIE:
        return {"answer": 2, "result": result}
    return {"answer": 0 if player > model else 1, "result": result}


def _one_ahead(models: Models, prompt: list[int]) -> list[int]:
    """Choose each time the token with which the text so far has the highest score."""
    network, moves = models.network("base"), list[int]()
    while len(moves) < MOVES and not _ended(models, moves):
        offered = forward(network, torch.tensor(prompt + moves)).out[-1].topk(CHOICES).indices
        tokens = offered.tolist()
        scores = _scores(models, [[*prompt, *moves, token] for token in tokens])
        moves.append(tokens[scores.index(max(scores))])
    return moves


def _by_model(models: Models, network: Network, prompt: list[int]) -> list[int]:
    """Let a model choose its most likely token each time."""
    moves: list[int] = []
    while len(moves) < MOVES and not _ended(models, moves):
        moves.append(int(forward(network, torch.tensor(prompt + moves)).out[-1].argmax()))
    return moves


def _choices(models: Models, logits: torch.Tensor) -> list[Move]:
    top = logits.topk(CHOICES).indices.tolist()
    shares = rounded(logits.softmax(-1)[top], 3)
    pieces = models.pieces(top)
    return [
        {"token": token, "piece": piece, "share": share}
        for token, piece, share in zip(top, pieces, shares, strict=True)
    ]


def _ended(models: Models, moves: list[int]) -> bool:
    return bool(moves) and moves[-1] == models.base.tokenizer.eos_token_id


def _scores(models: Models, rows: list[list[int]]) -> list[float]:
    """Score texts, without the token that ends them."""
    return models.reward.score_texts(decode(models.base, rows)).tolist()


def _mean(models: Models, rows: list[list[int]]) -> float:
    return sum(_scores(models, rows)) / len(rows)


def _moves_of(request: dict[str, Any], tokens: int) -> list[int]:
    moves = request.get("moves") or []
    if not isinstance(moves, list) or not all(type(move) is int for move in moves):
        raise ConfigError(f"moves is {str(moves)[:40]!r}: give a list of token ids")
    if len(moves) > MOVES or any(not 0 <= move < tokens for move in moves):
        raise ConfigError(f"moves is {str(moves)[:40]!r}: give at most {MOVES} token ids")
    return moves
