"""What the demonstration shows: an app with releases at GitHub and branches at Jenkins."""

from __future__ import annotations

from dataclasses import dataclass

from metro_backend.demo.builds import Build, Job, Project, android_artifacts
from metro_backend.demo.releases import Asset, Release, Repository

OWNER = "mosmetro-android"
REPOSITORY = "mosmetro-android"
MODULE = "module-captcha-recognition"
PROJECT = "mosmetro-android-pipeline"

_HOUR = 3_600_000
_NOVEMBER_2022 = 1_667_955_000_123


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a stand-in starts with; everything inside may be changed."""

    repositories: list[Repository]
    projects: list[Project]


def demo_content() -> Content:
    """Describe the demonstration. No file is made before somebody asks for it."""
    return Content(
        repositories=[_app(), _module()],
        projects=[
            Project(
                name=PROJECT,
                description="Сборка приложения",
                jobs=[
                    _master(),
                    _play(),
                    _feature(),
                    _job("_mirea", 12, ["Поддержка сети MIREA"], "Закрытая ветка для проверки"),
                    _job("old", 57, ["Последняя правка"], "Старый алгоритм", color="disabled"),
                    _job("merged", 9, ["Перенос в master"], "Ветка удалена", buildable=False),
                    _new(),
                    Job(name="archive", description="Папка, а не ветка", color=None),
                ],
            )
        ],
    )


def _app() -> Repository:
    def release(
        number: int, tag: str, title: str | None, body: str | None, date: str, size: int = 0
    ) -> Release:
        name = f"MosMetro-{'beta' if tag == '78' else 'play'}-v{tag}.apk"
        asset = Asset(
            id=number - 4_000_000,
            name=name,
            size=size,
            updated_at=f"{date}T13:49:10Z",
            # GitHub has no digest of what was uploaded before it began to make them.
            has_digest=number >= 43_000_000,
        )
        return Release(
            id=number,
            tag=tag,
            name=title,
            body=body,
            prerelease=tag == "78",
            published_at=f"{date}T13:50:00Z",
            assets=[asset] if size else [],
        )

    draft = release(43_000_003, "79", None, None, "2021-08-02", 2_700_000)
    draft.draft = True
    beta_notes = "* Проверка соединения переписана\r\n* Исправления"
    play_notes = (
        "* Обработка midsession отключена по умолчанию\r\n* Исправлен вход в сети MosMetroV2"
    )
    return Repository(
        id=43_700_000,
        owner=OWNER,
        name=REPOSITORY,
        releases=[
            draft,
            release(43_000_002, "78", "2.4-78", beta_notes, "2021-07-01", 2_598_123),
            release(43_000_001, "77", "2.3.2-77", play_notes, "2021-06-06", 2_591_001),
            release(
                42_900_000, "v2.3", "Исходный код", "Без номера сборки", "2021-05-20", 2_100_000
            ),
            release(42_800_000, "76", "2.3.1-76", "* Исправления", "2021-04-11", 2_580_417),
            release(42_700_000, "75", "2.3-75", "Файл будет позже", "2021-03-28"),
            release(42_600_000, "74", "2.2-74", None, "2021-01-17", 2_512_096),
        ],
    )


def _module() -> Repository:
    module = Repository(id=103_000_000, owner=OWNER, name=MODULE)
    module.add_release(
        "4",
        name="1.3",
        body="* Модель обучена заново",
        published_at="2020-11-05T10:00:00Z",
        assets=[
            Asset(
                id=27_900_001,
                name="module-captcha-recognition-v4.apk",
                size=3_911_207,
                updated_at="2020-11-05T09:58:00Z",
            )
        ],
    )
    return module


def _master() -> Job:
    changes = {
        430: ["Обновлены зависимости"],
        431: ["Новый экран настроек", "Исправлена опечатка в переводе"],
        432: ["Исправлено падение на Android 4.4"],
        433: ["Уведомления объединены в группы"],
        434: ["Исправлен вход после смены SIM-карты"],
        435: ["Переход на targetSdkVersion 33"],
        436: ["Отчёты отправляются пачками"],
        437: ["Исправлена повторная отправка статистики", "Ссылки на сервер вынесены в настройки"],
        438: ["Исправлен URL статистики"],
        439: ["Проверка новой системы сборки"],
    }
    master = Job(name="master", description="Основная ветка разработки")
    for number, messages in changes.items():
        master.builds.insert(
            0,
            _build("master", number, messages, _NOVEMBER_2022 - (438 - number) * 30 * _HOUR),
        )
    master.builds[0].result = "FAILURE"
    master.builds[0].artifacts = []
    return master


def _play() -> Job:
    play = _job(
        "play", 176, ["Версия 2.3.2"], "Стабильная версия из Google Play", color="blue_anime"
    )
    play.builds.insert(
        0, Build(number=177, result=None, timestamp=_NOVEMBER_2022 - 20 * _HOUR, artifacts=[])
    )
    return play


def _feature() -> Job:
    # Its newest build was started by hand: what changed is told by the one before.
    feature = _job("feature%2Fdns", 11, ["Собственный DNS-клиент для проверки сети"], None)
    feature.add_build(size=3_104_555)
    feature.color = "yellow"
    return feature


def _new() -> Job:
    failed = Build(
        number=1,
        changes=["Заготовка новой ветки"],
        result="FAILURE",
        timestamp=_NOVEMBER_2022 - 5 * _HOUR,
    )
    return Job(name="new", description="Ещё не собиралась", color="red", builds=[failed])


def _job(
    name: str,
    number: int,
    changes: list[str],
    description: str | None,
    *,
    color: str = "blue",
    buildable: bool = True,
) -> Job:
    label = name.replace("%2F", "-")
    build = _build(label, number, changes, _NOVEMBER_2022 - 24 * _HOUR)
    return Job(name=name, description=description, color=color, buildable=buildable, builds=[build])


def _build(label: str, number: int, changes: list[str], timestamp: int) -> Build:
    size = 2_900_000 + number * 1_021
    return Build(
        number=number,
        changes=changes,
        timestamp=timestamp,
        artifacts=android_artifacts(label, 77, number, size),
    )
