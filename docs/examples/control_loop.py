"""Runs a bundle in the control loop against a simulated world, without ROS: python control_loop.py BUNDLE [SECONDS]"""

import sys
import time

import pixelarm
from robot.control.limits import LimitConfig, default_limits
from robot.control.loop import ControlLoop

# the workspace of the table tasks, in the base frame; see hardware/arms/sim_panda.yaml
LIMITS = LimitConfig(0.07, 1.5, speed_scale=1.0, box_low=(0.2, -0.4, -0.1), box_high=(0.8, 0.4, 0.6))


def main(path: str, seconds: float = 5.0) -> None:
    policy = pixelarm.load_bundle(path)
    contract, sent = policy.contract, []
    env = pixelarm.make(contract.task, image_size=contract.cameras[0].height)
    observation, _ = env.reset(seed=10_000)
    limits = default_limits(LIMITS, contract)
    loop = ControlLoop(policy, limits, publish=lambda command, hold: sent.append((command, hold)))
    print(f"inference: {loop.warm_up()['p99']:.2f} ms (p99)")
    loop.start()
    for _ in range(round(seconds * contract.rate_hz)):
        stamp = time.time_ns()
        for name, value in observation.items():
            put = loop.put_image if value.ndim == 3 else loop.put_proprio
            put(name, value, stamp)
        time.sleep(contract.period_s)  # a driver would follow the newest target meanwhile; this world stands still
    loop.close()
    env.close()
    stats = loop.stats()
    print(f"{stats['commands']} commands, latency {stats['latency_ms']}")
    print(f"rules that fired: {[rule for rule, n in stats['rules'].items() if n]}")


if __name__ == "__main__":
    main(sys.argv[1], *map(float, sys.argv[2:]))
