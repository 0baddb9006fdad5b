"""The conformance suite: whatever an implementation does not declare unsupported must be right.

Run it as `sparsebench check NAME`, or from the tests of a package of your own:

    import pytest
    from bench.conformance.cases import all_cases
    from bench.conformance.checks import check

    @pytest.mark.parametrize("case", all_cases(), ids=str)
    def test_conformance(case):
        assert check(MyImplementation(), case).passed

Whole networks, the same as dense in both background modes, are `sparsebench check NAME --networks`, or

    from bench.conformance.networks import network_cases
    from suites.networks.small import conformance_networks

    @pytest.mark.parametrize("case", network_cases(conformance_networks()), ids=str)
    ...
"""
