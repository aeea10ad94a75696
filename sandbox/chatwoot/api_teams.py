"""REST: teams and their members."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from sandbox import times
from sandbox.chatwoot import errors
from sandbox.chatwoot.records import Team
from sandbox.chatwoot.server import Call, Router, find
from sandbox.json_types import Json


def register(router: Router) -> None:
    add = router.add
    add("GET", "/teams", list_teams)
    add("POST", "/teams", create_team, admin_only=True)
    add("GET", "/teams/{id:int}", show_team)
    add("PATCH", "/teams/{id:int}", update_team, admin_only=True)
    add("DELETE", "/teams/{id:int}", delete_team, admin_only=True)
    members = "/teams/{id:int}/team_members"
    add("GET", members, list_team_members)
    add("POST", members, add_team_members, admin_only=True)
    add("PATCH", members, set_team_members, admin_only=True)
    add("DELETE", members, remove_team_members, admin_only=True)


async def list_teams(call: Call) -> Response:
    shape = call.server.shapes.team
    rows = call.server.store.teams.values()
    return JSONResponse([shape(row, caller=call.caller) for row in rows])


def _team(call: Call) -> Team:
    return find(call.server.store.teams, call.path_id("id"))


def _write_team(call: Call, team: Team, *, fields: Json) -> None:
    name = str(fields.get("name", team.name)).lower()
    others = (t for t in call.server.store.teams.values() if t.id != team.id)
    if not name:
        raise errors.invalid_record("Name must not be blank", "name")
    if any(other.name == name for other in others):
        raise errors.invalid_record("Name has already been taken", "name")
    team.name = name
    team.description = str(fields.get("description", team.description) or "")
    team.allow_auto_assign = bool(
        fields.get("allow_auto_assign", team.allow_auto_assign)
    )


async def create_team(call: Call) -> Response:
    store = call.server.store
    team = Team(
        id=store.next_row_id("team", rows=store.teams),
        name="",
        description="",
        allow_auto_assign=True,
        created_at=times.now(),
    )
    _write_team(call, team, fields=call.parameters("team"))
    store.teams[team.id] = team
    return JSONResponse(call.server.shapes.team(team, caller=call.caller))


async def show_team(call: Call) -> Response:
    return JSONResponse(call.server.shapes.team(_team(call), caller=call.caller))


async def update_team(call: Call) -> Response:
    team = _team(call)
    _write_team(call, team, fields=call.parameters("team"))
    return JSONResponse(call.server.shapes.team(team, caller=call.caller))


async def delete_team(call: Call) -> Response:
    """The conversations stay, without a team."""
    store, team = call.server.store, _team(call)
    for conversation in store.conversations.values():
        if conversation.team_id == team.id:
            conversation.team_id = None
    del store.teams[team.id]
    return Response(status_code=200)


async def list_team_members(call: Call) -> Response:
    agents = call.server.store.agents
    shape = call.server.shapes.agent
    return JSONResponse([shape(agents[i]) for i in _team(call).member_ids])


async def add_team_members(call: Call) -> Response:
    """Answers those that are new."""
    team, agents = _team(call), call.server.store.agents
    new = [i for i in _user_ids(call) if i not in team.member_ids]
    team.member_ids.extend(new)
    return JSONResponse([call.server.shapes.agent(agents[i]) for i in new])


async def set_team_members(call: Call) -> Response:
    """Exactly these are members afterwards."""
    team = _team(call)
    team.member_ids = _user_ids(call)
    return await list_team_members(call)


async def remove_team_members(call: Call) -> Response:
    team, gone = _team(call), _user_ids(call)
    team.member_ids = [i for i in team.member_ids if i not in gone]
    return Response(status_code=200)


def _user_ids(call: Call) -> list[int]:
    """Without any, Rails has no list to look through, and fails."""
    wanted = call.body.get("user_ids")
    if not wanted:
        raise errors.crashed()
    numbers = [int(i) for i in wanted]
    if any(i not in call.server.store.agents for i in numbers):
        raise errors.ApiError(401, {"error": "Invalid User IDs"})
    return list(dict.fromkeys(numbers))
