"""``python -m scripts.deployment.engine``: start LocalStack in this process, with the shims applied.

`scripts.deployment.second_engine` starts it with the environment variables that LocalStack and the shims read.
"""

from scripts.deployment.engine import shims


def main() -> None:
    """Run LocalStack until SIGTERM."""
    shims.apply_all()
    # LocalStack reads its configuration when it is imported.
    from localstack.runtime.main import main as run  # noqa: PLC0415

    run()


if __name__ == "__main__":
    main()
