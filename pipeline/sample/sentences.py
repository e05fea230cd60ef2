"""Short English and Chinese sentences of graded polarity, none of them in two splits."""

from __future__ import annotations

LEVELS = (-1.0, -0.6, -0.2, 0.0, 0.2, 0.6, 1.0)
LANGUAGES = ("en", "zh")

# What is said. All splits share these words, so that polarity can be learnt on one of them. Three
# a level, which has no divisor in common with the number of subjects: see `sentence`.
PHRASES: dict[str, dict[float, tuple[str, ...]]] = {
    "en": {
        -1.0: (
            "is absolutely terrible, I hate it",
            "is awful, a terrible disaster",
            "was a disaster, I really hate it",
        ),
        -0.6: ("is really bad", "is bad and I dislike it", "was poor, I dislike it"),
        -0.2: ("is a bit slow", "is somewhat dull", "was a bit dull and slow"),
        0.0: ("is the same as last time", "is the second on the list", "was about as expected"),
        0.2: ("is fairly nice", "is quite okay", "was okay and fairly nice"),
        0.6: ("is really good", "is good and I like it", "was pleasant, I like it"),
        1.0: (
            "is absolutely wonderful, I love it",
            "is brilliant, a wonderful surprise",
            "was brilliant, I really love it",
        ),
    },
    "zh": {
        -1.0: ("糟糕透了，我非常讨厌", "太糟糕了，真让人失望", "烂透了，令人失望"),
        -0.6: ("很差，我讨厌", "真的很差", "很糟，让人难过"),
        -0.2: ("有点慢", "有点无聊", "有些闷，也有点慢"),
        0.0: ("和上次一样", "排在第二个", "跟平时一样"),
        0.2: ("还可以", "比较舒服", "还算舒服，可以"),
        0.6: ("很好，我喜欢", "真的很好", "很美，让人开心"),
        1.0: ("棒极了，我非常喜欢", "太精彩了，真让人开心", "美极了，令人惊喜"),
    },
}

# What it is said about: no subject is in two splits, and so no sentence.
SUBJECTS: dict[str, dict[str, tuple[str, ...]]] = {
    "train": {
        "en": (
            "This film", "The soup", "My new phone", "The hotel room", "Her speech",
            "The first song", "This book", "The garden", "The meeting", "Our train ride",
        ),
        "zh": (
            "这部电影", "今天的汤", "我的新手机", "酒店的房间", "她的演讲",
            "第一首歌", "这本书", "那个花园", "上午的会议", "坐火车",
        ),
    },
    "valid": {
        "en": ("That concert", "The lunch", "His painting", "The museum", "This camera"),
        "zh": ("那场音乐会", "中午的饭", "他的画", "博物馆", "这台相机"),
    },
    "test": {
        "en": ("The play", "Our dinner", "Their website", "The boat trip", "This jacket"),
        "zh": ("这出戏", "晚上的菜", "他们的网站", "坐船", "这件外套"),
    },
}  # fmt: skip


def sentence(split: str, level: float, language: str, number: int) -> str:
    """The `number`-th sentence of a split, level and language; each `number` gives another one.

    Phrases and subjects go round at coprime lengths, which makes every pair before any repeats.
    Raises IndexError from `supply(split)` on.
    """
    if number >= supply(split):
        raise IndexError(f"{split} has {supply(split)} sentences a level, none numbered {number}")
    phrases, subjects = PHRASES[language][level], SUBJECTS[split][language]
    start = LEVELS.index(level)
    phrase = phrases[number % len(phrases)]
    subject = subjects[(number + start) % len(subjects)]
    return f"{subject}{phrase}。" if language == "zh" else f"{subject} {phrase}."


def supply(split: str) -> int:
    """How many sentences there are for a level and language of a split."""
    return len(PHRASES["en"][0.0]) * len(SUBJECTS[split]["en"])
