"""What mysite is called, needs and offers; the pins are in versions.cfg."""

from setuptools import find_packages, setup

setup(
    name="mysite",
    version="1.0.0",
    description="The services of mysite",
    package_dir={"": "src"},
    packages=find_packages("src"),
    zip_safe=False,
    python_requires=">=3.11",
    install_requires=["pointsman"],
    extras_require={"test": ["pytest", "WebOb"]},
)
