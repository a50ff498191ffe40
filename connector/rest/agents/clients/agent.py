"""Asks a worker as an agent does, with the client of PyPI: agent.py PROGRAM URL."""

import asyncio
import json
import sys

from mcp import Client, MCPError, StdioServerParameters

READING = {"explain", "getConnector", "getContract", "getHealth", "getOffsets", "getSnapshots", "getStatus", "getTopics", "listConnectors"}
CHANGING = {"pause", "resume", "restart", "takeSnapshot", "cancelSnapshot"}
FILES = {"schema", "preview", "verify", "deadletters"}


async def told(client, tool, **given):
    """What a tool answers: JSON, or text where it is none."""
    result = await client.call_tool(tool, given)
    text = result.content[0].text
    assert not result.is_error, f"{tool} {given}: {text}"
    try:
        return json.loads(text)
    except ValueError:
        return text


async def refused(client, tool, **given):
    """Why a tool does not do something."""
    try:
        result = await client.call_tool(tool, given)
    except MCPError as e:
        return str(e)
    assert result.is_error, f"{tool} {given}: {result}"
    return result.content[0].text


async def reads(client, tools):
    """Asks for all that a worker tells."""
    offered = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(offered) == tools, sorted(offered)
    assert all(tool.annotations.read_only_hint == (name not in CHANGING | {"replay"}) for name, tool in offered.items())
    assert await told(client, "listConnectors") == ["dev"]
    health = await told(client, "getHealth", name="dev")
    while any(task["published"] == 0 for task in health["tasks"] if task["object"] == "invoices"):
        health = await told(client, "getHealth", name="dev")
    assert health["rate"] and all("freshness_ms" in task for task in health["tasks"])
    assert (await told(client, "getConnector", name="dev"))["config"]["coupa.client.secret"] == "[hidden]"
    assert (await told(client, "getStatus", name="dev"))["connector"]["state"] == "RUNNING"
    assert (await told(client, "getOffsets", name="dev"))["offsets"]
    assert "coupa.invoices" in (await told(client, "getTopics", name="dev"))["dev"]["topics"]
    assert all(s["state"] == "DONE" for s in await told(client, "getSnapshots", name="dev"))
    why = await told(client, "explain", name="dev", object="invoices", id=3)
    assert why["sentence"] and why["id"] == 3
    assert "not found" in await refused(client, "getHealth", name="nobody")
    await refused(client, "getHealth", name="dev", forward="false")
    if "pause" not in tools:
        await refused(client, "pause", name="dev")


async def reads_rows(client):
    """Asks for what the files tell, of which the rows are as the topics have them."""
    assert (await told(client, "schema", connector="dev", object="suppliers"))["name"] == "Supplier"
    shown = await told(client, "preview", connector="dev", object="suppliers", rows=5)
    assert len(shown["rows"]) == 5
    for row in shown["rows"]:
        assert "before" not in row and row["after"]["name"] == "***", row
    await refused(client, "preview", connector="/etc/passwd", object="suppliers")
    await refused(client, "preview", connector="dev", object="--worker=/etc/passwd")
    [report] = await told(client, "verify", connector="dev", objects=["invoices"])
    assert report["rows"] and not report["findings"], report
    assert await told(client, "deadletters", connector="dev") == {"letters": [], "all": 0}


async def changes(client):
    """Does what may be undone, and undoes it."""
    assert await told(client, "pause", name="dev") == "done"
    while (await told(client, "getStatus", name="dev"))["connector"]["state"] != "PAUSED":
        pass
    assert await told(client, "resume", name="dev") == "done"
    while (await told(client, "getStatus", name="dev"))["connector"]["state"] != "RUNNING":
        pass
    taken = await told(client, "takeSnapshot", name="dev", object="suppliers", ids=[1, 2])
    while (await told(client, "getSnapshots", name="dev"))[0]["state"] == "RUNNING":
        pass
    assert taken["object"] == "suppliers"
    await told(client, "restart", name="dev", includeTasks=True)
    [letters] = [r for r in await told(client, "replay", connector="dev") if r["object"] == "suppliers"]
    assert letters["replayed"] == 0


async def main(program, url):
    for mode, version in {"auto": "2026-07-28", "legacy": "2025-11-25"}.items():
        files = ["dev.yaml", "--worker", "worker.yaml"]
        way = {"at /mcp": (url + "/mcp", READING)}
        for name, more, tools in (("alone", [], READING | {"schema"}), ("with files", files, READING | FILES), ("with changes", files + ["--allow-changes"], READING | FILES | CHANGING | {"replay"})):
            way["through coupastream mcp, " + name] = (StdioServerParameters(command=program, args=["mcp", "--url", url, "--log-level", "error", *more]), tools)
        for name, (server, tools) in way.items():
            async with Client(server, mode=mode, read_timeout_seconds=120) as client:
                assert client.protocol_version == version, client.protocol_version
                await reads(client, tools)
                if "preview" in tools:
                    await reads_rows(client)
                if "pause" in tools and mode == "auto":
                    await changes(client)
            print(f"== {name}, {version}: as it should be")


asyncio.run(main(*sys.argv[1:]))
