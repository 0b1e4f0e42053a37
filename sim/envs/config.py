"""Options of an environment: typed, with their meaning and unit beside them."""

from __future__ import annotations

from dataclasses import dataclass, field

from robot.stats import HOLD_STEPS

LARGEST_IMAGE = 2048  # pixels, of a camera's height and width


@dataclass
class TaskConfig:
    name: str = "lift"  # one of sim.tasks.TASKS, or dmc/DOMAIN-TASK with the extra [dmc]
    image_size: int = 64  # pixels, height and width of every camera
    # physics control steps an action lasts, DeepMind Control only; 0: the task's published value
    action_repeat: int = 0
    look: str = ""  # plain | textured, or of DeepMind Control published | fast; empty: the first of these
    actuation_delay_ms: tuple[float, float] = (0.0, 50.0)  # range of the delay between observing and acting
    # control steps in a row that the task must stay done before that is a success, which pays and ends the episode
    hold_steps: int = HOLD_STEPS
    randomise: list[str] = field(
        default_factory=list
    )  # terms of sim.scene.randomise.TERMS drawn for each training episode
    # control steps after which a training episode is cut; 0: the task's own limit, which evaluation always has
    time_limit: int = 0
    arm: str = "panda"  # one of sim.arms.ARMS, on the table; the kitchen has its own
    # what deltas are added to, measured or commanded (see robot.actions.ORIGINS); empty: as the task has it
    counts_from: str = ""
    # arm profile, a name or a file, whose cameras' size, crop, resize and rotate the pictures go through, as they will
    # on the arm; empty: pictures are drawn at image_size
    camera_profile: str = ""
    # what a policy observes: pixels (cameras, and the arm's own state) | states (where arm and objects truly are, in
    # simulation alone, and nothing is drawn), of tasks that have them: the kitchen's. Empty: pixels
    observe: str = ""
    observation_delay_ms: tuple[float, float] = (0.0, 0.0)  # range of the age of what is observed, one value an episode
    # success | subtasks: what pays 1 in training, that the whole task is done, or each of the kitchen's subtasks when
    # it is done for the first time in an episode; empty: success. Policies are judged by success all the same
    reward: str = ""
