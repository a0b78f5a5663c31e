"""What compose.yaml says, held against the Dockerfile and the settings; no Docker runs here."""

# ruff: noqa: F401, F811 (fixtures are imported by name)

import re

import pytest
import yaml

from rlhf_demo.errors import ConfigError
from rlhf_demo.server.settings import LOOPBACK, VARIABLES, Settings
from tests.test_dockerfile import PORT, REPOSITORY, instructions, rest_of

TEXT = (REPOSITORY / "compose.yaml").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
PAGES = {name: service for name, service in SERVICES.items() if "build" in service}
every_page = pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)


def test_profiles_are_those_that_the_file_explains():
    profiles = {profile for service in SERVICES.values() for profile in service["profiles"]}
    assert profiles == set(re.findall(r"--profile (\w+) up", TEXT))
    replicas = [page for page in PAGES.values() if page["profiles"] == ["replicas"]]
    assert len(replicas) == 2
    ports, volumes = ({str(page[key]) for page in replicas} for key in ("ports", "volumes"))
    assert len(ports) == len(volumes) == 2


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_no_service_may_do_more_than_it_needs(service):
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "/tmp" in service["tmpfs"]
    assert service["restart"] == "unless-stopped"
    assert not {"privileged", "network_mode", "user", "cap_add"} & set(service) or (
        service["image"].startswith("postgres:")
    )


@every_page
def test_page_has_the_port_volumes_health_check_and_time_of_the_image(page, instructions):
    assert [mapping.rpartition(":")[2] for mapping in page["ports"]] == [PORT]
    runs, hub = (volume.split(":") for volume in page["volumes"])
    assert {runs[0], hub[0]} <= set(COMPOSE["volumes"])
    assert rest_of(instructions, "VOLUME") == [runs[1]]
    # A new volume belongs to user 1000 only if the image has the folder, and gives it to the user.
    (made,) = (rest for rest in rest_of(instructions, "RUN") if "mkdir" in rest)
    assert hub[1] in made and made.endswith('chown -R user "$RLHF_DEMO_RUNS" /home/user/.cache')
    assert hub[1].startswith("/home/user/.cache/")
    assert rest_of(instructions, "HEALTHCHECK")
    assert "healthcheck" not in page
    assert int(page["stop_grace_period"].removesuffix("s")) > 10


@every_page
def test_page_is_given_only_variables_that_it_reads(page):
    assert set(page["environment"]) <= {variable.name for variable in VARIABLES}


@every_page
def test_page_without_limits_is_published_on_this_machine_only(page):
    if page["environment"].get("RLHF_DEMO_PUBLIC") == "0":
        assert all(mapping.rsplit(":", 2)[0] in LOOPBACK for mapping in page["ports"])
    else:
        assert "RLHF_DEMO_PASSWORD" in page["environment"]


@every_page
def test_build_arguments_are_those_of_the_dockerfile(page, instructions):
    known = {rest.partition("=")[0] for rest in rest_of(instructions, "ARG")}
    if page["build"] != ".":
        assert set(page["build"]["args"]) <= known


def test_passwords_come_from_outside_and_a_page_for_others_refuses_to_start_without(monkeypatch):
    given = [page["environment"].get("RLHF_DEMO_PASSWORD") for page in PAGES.values()]
    (password,) = set(given) - {None}
    unset = re.fullmatch(r"\$\{RLHF_DEMO_PASSWORD:-(\w+)\}", password)[1]
    monkeypatch.setenv("RLHF_DEMO_PASSWORD", unset)
    with pytest.raises(ConfigError, match="RLHF_DEMO_PASSWORD has 4 characters"):
        Settings.from_environment()
    # PostgreSQL's image refuses an empty one.
    assert SERVICES["votes"]["environment"]["POSTGRES_PASSWORD"] == "${POSTGRES_PASSWORD:-}"


def test_no_variable_is_demanded_under_profiles_that_do_not_use_it():
    values = "\n".join(line for line in TEXT.splitlines() if not line.startswith("#"))
    assert ":?" not in values


def test_replicas_vote_in_the_database_that_has_to_answer_first():
    votes = SERVICES["votes"]
    user, name = votes["environment"]["POSTGRES_USER"], votes["environment"]["POSTGRES_DB"]
    for page in (SERVICES["first"], SERVICES["second"]):
        address = page["environment"]["DATABASE_URL"]
        assert address == f"postgresql://{user}:${{POSTGRES_PASSWORD:-}}@votes/{name}"
        assert page["depends_on"] == {"votes": {"condition": "service_healthy"}}
    assert votes["healthcheck"]["test"][1] == f"pg_isready -U {user} -d {name}"
