"""What Android's services print, as people have published it."""

from __future__ import annotations

import random
from pathlib import Path

from edgekit.device import android_facts
from edgekit.device.android_facts import Battery, Thermal
from edgekit.device.facts import from_sections
from edgekit.device.profile import load_profile
from edgekit.device.profile_check import differences

PUBLISHED = Path(__file__).parents[1] / "data" / "android"


def published(name: str) -> str:
    return (PUBLISHED / f"{name}.txt").read_text()


def test_thermal_status_and_temperatures_of_a_galaxy_a52():
    found = android_facts.thermal(published("thermalservice-galaxy-a52-android-12"))
    assert found == Thermal(
        status=0,
        temperatures_c={
            "cpu:AP": 25.6,
            "battery:BAT": 23.8,
            "skin:LRB": 24.7,
            "skin:LRF": 24.7,
            "skin:LRP": 24.7,
            "power-amplifier:PA": 25.7,
        },
    )
    assert found.processor_c == 25.6


def test_f50_a_hot_phone_is_told_and_a_warm_one_is_not():
    text = published("thermalservice-galaxy-a52-android-12")
    for status, told in (("0", False), ("1", False), ("2", True), ("6", True)):
        said = {"android_thermal": text.replace("Thermal Status: 0", f"Thermal Status: {status}")}
        notices = differences(load_profile("android-arm64-adb"), from_sections(said))
        assert any("slows the device down" in notice.message for notice in notices) is told


def test_an_empty_battery_is_told_unless_it_charges():
    text = published("battery-galaxy").replace("level: 84", "level: 12")
    for powered, told in (("true", False), ("false", True)):
        facts = from_sections({"android_battery": text.replace("USB powered: true", f"USB powered: {powered}")})
        codes = [notice.code for notice in differences(load_profile("android-arm64-adb"), facts)]
        assert ("battery" in codes) is told


def test_readings_that_are_old_or_no_temperatures_are_left_out():
    text = (
        "Thermal Status: 0\nCached temperatures:\n\tTemperature{mValue=99.0, mType=0, mName=OLD, mStatus=3}\n"
        "Current temperatures from HAL:\n\tTemperature{mValue=4200.0, mType=6, mName=vbat, mStatus=0}\n"
        "\tTemperature{mValue=-5700.0, mType=-1, mName=virtual, mStatus=0}\n"
        "\tTemperature{mValue=31.5, mType=0, mName=BIG, mStatus=0}\n"
        "Current cooling devices from HAL:\n\tTemperature{mValue=88.0, mType=0, mName=wrong, mStatus=0}\n"
    )
    assert android_facts.thermal(text).temperatures_c == {"cpu:BIG": 31.5}


def test_the_battery_of_a_phone_on_usb_with_its_makers_own_lines():
    found = android_facts.battery(published("battery-galaxy"))
    assert found == Battery(percent=84, charging=True, temperature_c=32.6)


def test_a_box_without_a_real_battery_has_no_battery_temperature():
    assert android_facts.battery(published("battery-android-box")) == Battery(
        percent=90, charging=True, temperature_c=None
    )


def test_f52_text_that_is_something_else_is_unknown():
    for text in ("", "Can't find service: thermalservice", "Permission Denial: can't dump", "Thermal Status: 9\n"):
        assert android_facts.thermal(text) is None
        assert android_facts.battery(text) is None
    assert android_facts.battery("Current Battery Service state:\n  present: false\n  level: 0\n") is None


def test_f52_damaged_text_is_never_more_than_unknown():
    chance = random.Random(3)
    for name in ("thermalservice-galaxy-a52-android-12", "battery-galaxy"):
        for _ in range(500):
            content = list(published(name))
            for _ in range(chance.randrange(1, 40)):
                content[chance.randrange(len(content))] = chance.choice(":={},.-9\n\0x")
            android_facts.thermal("".join(content))
            android_facts.battery("".join(content))


def test_fixed_performance_mode_is_known_from_the_help():
    help_text = "Power manager (power) commands:\n  set-fixed-performance-mode-enabled [true|false]\n"
    assert android_facts.fixed_performance(help_text) is True
    assert android_facts.fixed_performance("Power manager (power) commands:\n  set-mode MODE\n") is False
    assert android_facts.fixed_performance("") is None
