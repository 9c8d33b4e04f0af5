"""Two stacks in one region: what they must not share, and their deletion."""

from scripts.deployment.deployed_courier import DeployedCourier, DeploymentError
from scripts.deployment.user import User

_OUTPUTS = ("BucketName", "TopicArn", "StateMachineArn", "ParameterPath", "LedgerTableName", "AlarmsTopicArn")


def check_apart(user: User, *stacks: str) -> str:
    """Check that no two stacks have a resource in common, and that each sees only its own sources.

    Raises
    ------
    DeploymentError
        They share something.
    """
    deployed = [user.stack(name) for name in stacks]
    first, second = deployed
    shared = [name for name, physical in first.resources.items() if second.resources.get(name) == physical]
    shared += [name for name in _OUTPUTS if first.outputs[name] == second.outputs[name]]
    if first.outputs["SecretPrefix"] == second.outputs["SecretPrefix"]:
        shared.append("SecretPrefix")
    if shared:
        raise DeploymentError(f"both stacks have the same {', '.join(shared)}")
    for name, other in ((stacks[0], second), (stacks[1], first)):
        text = user.courier("status", "--stack", name)
        if foreign := [source for source in _sources(other) if f"\n{source} " in text]:
            raise DeploymentError(f"courier status --stack {name} shows sources of the other stack: {foreign}")
    schedules = user.client("scheduler").list_schedules()["Schedules"]
    return f"side by side: {len(first.resources)} and {len(second.resources)} resources, {len(schedules)} schedules"


def delete(user: User, *stacks: str) -> str:
    """Delete the stacks with `courier uninstall`, and check what is left.

    Raises
    ------
    DeploymentError
        Something is left that must go.
    """
    counts = []
    for name in stacks:
        deployed = user.stack(name)
        deployed.delete_more_machines()
        user.courier("uninstall", "--stack", name, "--yes", "--stop-running")
        _check_gone(user, name, deployed)
        counts.append(len(deployed.resources))
    return f"deleted: {' and '.join(map(str, counts))} resources"


def _check_gone(user: User, name: str, deployed: DeployedCourier) -> None:
    functions = [each["FunctionName"] for each in user.client("lambda").list_functions()["Functions"]]
    machines = [each["name"] for each in user.client("stepfunctions").list_state_machines()["stateMachines"]]
    schedules = [each["Name"] for each in user.client("scheduler").list_schedules()["Schedules"]]
    rules = [each["Name"] for each in user.client("events").list_rules()["Rules"]]
    tables = user.client("dynamodb").list_tables()["TableNames"]
    topics = [each["TopicArn"].rpartition(":")[2] for each in user.client("sns").list_topics()["Topics"]]
    queues = [each.rpartition("/")[2] for each in user.client("sqs").list_queues().get("QueueUrls", [])]
    groups = [
        each["logGroupName"]
        for each in user.client("logs").describe_log_groups(logGroupNamePrefix=f"/{name}/")["logGroups"]
    ]
    left = {*functions, *machines, *schedules, *rules, *tables, *topics, *queues, *groups}
    mine = {physical.rpartition("/")[2].rpartition(":")[2] for physical in deployed.resources.values()}
    mine |= set(deployed.resources.values())
    if remaining := sorted(left & mine):
        raise DeploymentError(f"{name}: left after the deletion: {', '.join(remaining)}")


def _sources(deployed: DeployedCourier) -> list[str]:
    pages = (
        deployed.client("ssm").get_paginator("get_parameters_by_path").paginate(Path=deployed.outputs["ParameterPath"])
    )
    return [each["Name"].rpartition("/")[2] for page in pages for each in page["Parameters"]]
