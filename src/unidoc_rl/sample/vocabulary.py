"""The words of the sample world: names, measures, headings and sentences. Data only; `world.py` combines them.

No sentence here may hold a measure, an item or a number that a question can ask about: every fact is printed once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple


class Metric(NamedTuple):
    """Something that is measured; `{cur}` in a unit is the company's currency."""

    name: str
    unit: str
    low: float
    high: float
    decimals: int


class Dimension(NamedTuple):
    """What the rows of a table (or the bars of a chart) are, and what is measured of each."""

    name: str
    plural: str
    place: str  # how a question puts an item: "in Norway"
    items: tuple[str, ...]  # empty: the sector's own
    metrics: tuple[Metric, ...]
    tables: tuple[str, ...]  # titles
    headings: tuple[str, ...]
    pointers: tuple[tuple[str, str], ...]  # a sentence that singles an item out, and how a question calls that item


class Sector(NamedTuple):
    names: tuple[str, ...]  # the second word of a company's name
    segments: tuple[str, ...]
    products: tuple[str, ...]
    things: tuple[str, ...]  # what its people talk about


class Accounts(NamedTuple):
    """A dense table of a statement: lines by column, all in one unit."""

    title: str
    lines: tuple[str, ...]
    columns: tuple[str, ...]


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


STEM_STARTS = _split(
    "Hal, Bran, Cor, Dor, El, Far, Gal, Hart, Is, Jor, Kal, Lor, Mar, Nor, Or, Pel, Quin, Ros, Sel, Tar, Ul, Ver,"
    "Wes, Yar, Zan, Al, Bel, Cal, Dal, Er, Fin, Gar, Hol, Ing, Kess, Lin, Mil, Nes, Os, Pol, Ran, Sol, Tor, Vin,"
    "Wal, Ash, Brock, Crest, Drey, Eld, Ford, Glen, Heath, Kirk, Lang, Mont, Nord, Oak, Penn, Rock, Stan, Thorn,"
    "Wind, Stor"
)
STEM_ENDS = _split(
    "den, wick, mont, vik, by, stad, dale, ford, gate, holm, land, mark, mere, ness, over, port, rand, sen, ton,"
    "vale, well, worth, berg, bridge, burn, bury, cliff, combe, cross, croft, field, grave, ham, haven, hurst,"
    "lund, low, marsh, moor, more, shaw, stead, strand, thorpe, tree, veld, water, win, wood, yard"
)

SECTORS = (
    Sector(
        _split("Energy, Power, Renewables, Utilities"),
        _split(
            "Offshore Wind, Onshore Wind, Solar Parks, Hydro Power, District Heating, Grid Services,"
            "Energy Storage, Power Trading, Charging Stations, Biogas"
        ),
        _split("Aerion 40, Aerion 60, Heliox S, Heliox L, Voltara One, Voltara Plus, Calor Mini, Calor Max, Fluvia 2"),
        _split("grid connections, turbine maintenance, permit procedures, long-term supply contracts, park planning"),
    ),
    Sector(
        _split("Marine, Shipping, Lines, Offshore"),
        _split(
            "Container Shipping, Ferry Services, Bulk Transport, Port Terminals, Ship Repair, Towage,"
            "Cruise Services, Marine Equipment, Crew Services, Inland Waterways"
        ),
        _split("Norna 300, Norna 500, Tidal Fox, Tidal Bear, Kelpie C1, Kelpie C2, Sextant Pro, Sextant Lite, Ankra V"),
        _split("berth planning, hull coatings, crew rotation, port calls, route planning, dry-dock visits"),
    ),
    Sector(
        _split("Foods, Dairies, Provisions, Kitchens"),
        _split(
            "Fresh Dairy, Frozen Meals, Bakery, Plant Proteins, Snacks, Beverages, Baby Nutrition, Food Service,"
            "Ingredients, Private Label"
        ),
        _split(
            "Morrow Oat, Morrow Rye, Silva Spread, Silva Light, Kernel Bites, Kernel Bar, Dulce 70, Brisa Cola,Yola"
        ),
        _split(
            "recipe development, cold storage, farm partnerships, packaging design, shelf placement,harvest planning"
        ),
    ),
    Sector(
        _split("Health, Medical, Diagnostics, Care"),
        _split(
            "Imaging Systems, Laboratory Tests, Patient Monitoring, Hearing Aids, Home Care, Surgical Tools,"
            "Dental Supplies, Rehabilitation, Clinic Software, Sterile Goods"
        ),
        _split("Vitala 3, Vitala 5, Pulsar Go, Pulsar Home, Claris X, Claris Duo, Orbis Scan, Sonata M, Sonata S"),
        _split("clinical studies, service visits, device approvals, hospital tenders, sterilisation, user training"),
    ),
    Sector(
        _split("Instruments, Controls, Automation, Robotics"),
        _split(
            "Flow Sensors, Machine Vision, Drive Systems, Laboratory Robots, Process Control, Weighing Systems,"
            "Test Benches, Software Licences, Field Service, Safety Switches"
        ),
        _split("Argus 10, Argus 20, Metron A, Metron B, Kinetix One, Kinetix Pro, Libra Cell, Gauge Q4, Gauge Q8"),
        _split("calibration, software releases, spare parts, machine safety, prototype testing, remote diagnosis"),
    ),
    Sector(
        _split("Logistics, Freight, Mobility, Transit"),
        _split(
            "Parcel Delivery, Rail Freight, Contract Warehousing, Air Cargo, City Buses, Bike Rental, Cold Chain,"
            "Fleet Leasing, Customs Services, Returns Handling"
        ),
        _split("Swift Box, Swift Pallet, Cargo Nova, Cargo Terra, Metro Pass, Metro Flex, Polar Van, Relay 7, Relay 9"),
        _split("depot planning, driver training, fleet renewal, night routes, timetable changes, loading aids"),
    ),
    Sector(
        _split("Materials, Metals, Chemicals, Papers"),
        _split(
            "Specialty Steel, Packaging Board, Coatings, Adhesives, Insulation, Recycled Plastics, Technical Glass,"
            "Battery Materials, Fibre Pulp, Industrial Gases"
        ),
        _split("Ferrum 12, Ferrum 18, Lamina White, Lamina Kraft, Bondex R, Bondex T, Therma Wool, Clarit P, Clarit V"),
        _split(
            "furnace upgrades, raw material contracts, laboratory tests, kiln maintenance, quality checks,recycling"
        ),
    ),
    Sector(
        _split("Retail, Stores, Textiles, Living"),
        _split(
            "Garden Centres, Home Textiles, Furniture, Sports Fashion, Footwear, Online Shop, Outlet Stores,"
            "Kitchen Studios, Gift Articles, Franchise Partners"
        ),
        _split("Lino Chair, Lino Table, Alba Lamp, Alba Shade, Nido Bed, Nido Cot, Tessa Rug, Vela Jacket, Vela Coat"),
        _split("store layouts, seasonal collections, loyalty offers, window displays, returns, visual merchandising"),
    ),
)

SEGMENT = Dimension(
    "segment",
    "segments",
    "of the {} segment",
    (),
    (
        Metric("Revenue", "{cur} million", 40, 900, 1),
        Metric("Operating profit", "{cur} million", 4, 95, 1),
        Metric("Order intake", "{cur} million", 30, 900, 1),
        Metric("Order backlog", "{cur} million", 20, 800, 1),
        Metric("Capital expenditure", "{cur} million", 3, 90, 1),
        Metric("Development costs", "{cur} million", 1, 40, 1),
        Metric("Depreciation", "{cur} million", 2, 60, 1),
        Metric("Full-time positions", "people", 120, 6000, 0),
    ),
    ("Segments compared", "Key data by segment", "Segment performance", "Segment report"),
    ("Business performance", "Our segments", "Where we earn our money", "Development of the business", "Segments"),
    (
        ("The innovation prize of the group went to the {} segment.", "the segment that won the innovation prize"),
        ("A new head was appointed for the {} segment.", "the segment for which a new head was appointed"),
        ("The supervisory board took a closer look at the {} segment.", "the segment at which the board looked closer"),
    ),
)
COUNTRY = Dimension(
    "country",
    "countries",
    "in {}",
    _split(
        "Norway, Sweden, Denmark, Finland, Estonia, Latvia, Poland, Germany, Austria, Hungary, Italy, Spain,"
        "Portugal, France, Belgium, Ireland, Iceland, Greece, Turkey, Morocco, Egypt, Kenya, Ghana, India, Japan,"
        "Vietnam, Australia, Canada, Mexico, Brazil, Chile, Peru"
    ),
    (
        Metric("Net sales", "{cur} million", 8, 400, 1),
        Metric("Headcount", "people", 40, 4000, 0),
        Metric("Active customers", "thousand", 2, 700, 1),
        Metric("Local purchasing", "{cur} million", 2, 150, 1),
        Metric("Taxes paid", "{cur} million", 1, 60, 1),
        Metric("Market share", "%", 3, 45, 1),
        Metric("Sales outlets", "outlets", 5, 320, 0),
        Metric("Marketing spend", "{cur} million", 1, 30, 1),
    ),
    ("Key data by country", "Markets compared", "Country overview", "Our markets in figures"),
    ("Our markets", "Around the world", "Regional development", "Close to our customers", "Country report"),
    (
        ("Our newest sales office was opened in {}.", "the country where the newest sales office was opened"),
        ("The annual customer conference was held in {}.", "the country that hosted the customer conference"),
        ("The first pilot store of the group is in {}.", "the country that has the first pilot store"),
    ),
)
SITE = Dimension(
    "site",
    "sites",
    "at the {} site",
    _split(
        "Bergen, Malmo, Turku, Aarhus, Tartu, Gdansk, Leipzig, Linz, Brno, Verona, Zaragoza, Braga, Nantes, Ghent,"
        "Cork, Patras, Izmir, Fez, Suez, Nakuru, Pune, Osaka, Hue, Perth, Halifax, Puebla, Recife, Arica, Tampere,"
        "Utrecht"
    ),
    (
        Metric("Electricity use", "MWh", 400, 60000, 0),
        Metric("Water withdrawal", "thousand m3", 5, 800, 1),
        Metric("Hazardous waste", "tonnes", 2, 400, 1),
        Metric("Floor area", "m2", 1500, 90000, 0),
        Metric("Local staff", "people", 30, 2500, 0),
        Metric("Reported accidents", "cases", 3, 90, 0),
        Metric("Training hours", "hours", 400, 30000, 0),
        Metric("Direct emissions", "tonnes CO2", 100, 20000, 0),
    ),
    ("Resources by site", "Sites compared", "Site data", "Environmental data by site"),
    ("Sites and resources", "Environment", "Our sites", "Responsible operations", "Production network"),
    (
        ("The safety prize of the group went to the {} site.", "the site that won the safety prize"),
        ("A new training centre was opened at the {} site.", "the site where a new training centre was opened"),
        ("The open day for neighbours took place at the {} site.", "the site that held the open day for neighbours"),
    ),
)
PRODUCT = Dimension(
    "product",
    "products",
    "for {}",
    (),
    (
        Metric("Units delivered", "thousand", 2, 600, 1),
        Metric("Average price", "{cur}", 20, 900, 1),
        Metric("Return rate", "%", 1, 15, 1),
        Metric("Warranty claims", "cases", 20, 3000, 0),
        Metric("Gross margin", "%", 12, 65, 1),
        Metric("Delivery time", "days", 2, 40, 1),
        Metric("Service calls", "calls", 100, 9000, 0),
    ),
    ("Products compared", "Key data by product", "Product overview", "Portfolio in figures"),
    ("Product portfolio", "What we make", "Quality and service", "Our products", "Range and quality"),
    (
        ("Customers voted {} product of the year.", "the product that customers voted product of the year"),
        ("The design award of the trade fair went to {}.", "the product that won the design award"),
        ("The anniversary edition of the year was made for {}.", "the product that had an anniversary edition"),
    ),
)
MONTH = Dimension(
    "month",
    "months",
    "in {}",
    _split("January, February, March, April, May, June, July, August, September, October, November, December"),
    (
        Metric("Website visits", "thousand", 40, 900, 1),
        Metric("Orders received", "thousand", 5, 300, 1),
        Metric("Energy costs", "{cur} million", 1, 30, 1),
        Metric("Calls answered", "thousand", 3, 90, 1),
        Metric("Share price", "{cur}", 12, 180, 1),
        Metric("Absence rate", "%", 2, 9, 1),
        Metric("Plant utilisation", "%", 55, 97, 1),
    ),
    ("Month by month", "Monthly data", "Through the year", "Monthly overview"),
    ("The course of the year", "Month by month", "How the year went", "Through the seasons", "The year in detail"),
    (
        ("The new group intranet went live in {}.", "the month in which the new group intranet went live"),
        ("The annual general meeting took place in {}.", "the month of the annual general meeting"),
        ("The employee survey was carried out in {}.", "the month of the employee survey"),
    ),
)
DIMENSIONS = (SEGMENT, COUNTRY, SITE, PRODUCT, MONTH)

# What a pie shows: a share, and the parts.
SHARES = (
    ("Share of sales by channel", _split("Wholesale, Own stores, Web shop, Agents, Key accounts, Export partners")),
    (
        "Share of energy by source",
        _split("Wind power, Natural gas, Solar power, Heating oil, Biomass, Purchased steam"),
    ),
    (
        "Share of staff by function",
        _split("Production, Sales force, Research, Administration, Customer care, Transport"),
    ),
    ("Share of costs by type", _split("Personnel, Raw goods, Rent, Outbound freight, IT services, Advertising")),
    (
        "Share of capital by investor",
        _split("Pension funds, Founders, Private investors, Insurers, Foundations, Banks"),
    ),
    ("Share of waste by treatment", _split("Recycled, Composted, Reused, Landfill, Incinerated, Sold as fuel")),
)
SHARE_HEADINGS = (
    "A closer look",
    "How it is made up",
    "Structure",
    "In proportion",
    "Breakdown",
    "The parts of the whole",
)

# Of the whole company: key figures, and figures in running text.
COMPANY = (
    Metric("Net debt", "{cur} million", 20, 900, 1),
    Metric("Equity ratio", "%", 22, 68, 1),
    Metric("Dividend per share", "{cur}", 0.4, 9, 2),
    Metric("Free cash flow", "{cur} million", 5, 300, 1),
    Metric("Return on capital", "%", 4, 24, 1),
    Metric("Customer satisfaction", "points", 61, 97, 1),
    Metric("On-time delivery", "%", 78, 99, 1),
    Metric("Recycling rate", "%", 31, 92, 1),
    Metric("Patents held", "", 12, 900, 0),
    Metric("Suppliers audited", "", 15, 600, 0),
    Metric("Apprentices", "", 12, 700, 0),
    Metric("Shareholders", "", 1200, 60000, 0),
    Metric("Undrawn credit lines", "{cur} million", 30, 700, 1),
    Metric("Training budget", "{cur} million", 1, 25, 1),
    Metric("Charitable donations", "{cur} thousand", 20, 950, 0),
    Metric("Women in management", "%", 16, 51, 1),
    Metric("Average length of service", "years", 4, 17, 1),
    Metric("Fleet vehicles", "", 60, 4000, 0),
    Metric("Interest cover", "times", 2, 19, 1),
    Metric("Trademarks registered", "", 8, 400, 0),
)
FACT_SENTENCES = (
    "{metric} came to {value}.",
    "At the end of the period, {lower} stood at {value}.",
    "For {lower}, the year closed at {value}.",
    "The figure for {lower} is {value}.",
)

ACCOUNTS = (
    Accounts(
        "Statement of financial position",
        _split(
            "Goodwill, Customer lists, Software, Land, Buildings, Machinery, Right-of-use assets,"
            "Investments in associates, Deferred tax assets, Raw stock, Work in progress, Finished goods,"
            "Trade receivables, Contract assets, Prepayments, Cash at bank, Share capital, Share premium,"
            "Retained earnings, Minority interests, Bonds issued, Bank loans, Lease liabilities,"
            "Pension obligations, Trade payables, Contract liabilities, Accrued wages"
        ),
        _split("Parent, Subsidiaries, Adjustments"),
    ),
    Accounts(
        "Statement of profit or loss",
        _split(
            "Sale of goods, Sale of services, Licence income, Rental income, Changes in stocks,"
            "Own work capitalised, Materials consumed, Wages and salaries, Social security, Freight charges,"
            "Energy charges, Advertising charges, Legal fees, Insurance premiums, IT charges, Travel expenses,"
            "Amortisation, Impairment losses, Interest income, Interest expense, Currency gains, Currency losses,"
            "Current tax, Tax of former years"
        ),
        _split("First half, Second half"),
    ),
    Accounts(
        "Statement of cash flows",
        _split(
            "Receipts from customers, Payments to suppliers, Payments to staff, Interest paid, Interest received,"
            "Income taxes settled, Purchase of equipment, Proceeds from equipment, Purchase of licences,"
            "Loans granted, Loans repaid to us, Acquisition of businesses, Disposal of businesses, New borrowings,"
            "Repaid borrowings, Lease payments, Dividends distributed, Own shares bought, Capital increases,"
            "Grants received"
        ),
        _split("Q1, Q2, Q3, Q4"),
    ),
    Accounts(
        "Movements in fixed assets",
        _split(
            "Opening cost, Additions, Gained by merger, Disposals, Transfers, Exchange differences, Closing cost,"
            "Opening write-downs, Write-downs of the period, Reversals, Closing write-downs, Pledged as security,"
            "Under construction, Held for sale, Fully written down, Insured value"
        ),
        _split("Plots, Halls, Tools, Vehicles"),
    ),
    Accounts(
        "Maturity of obligations",
        _split(
            "Senior notes, Convertible notes, Promissory notes, Syndicated loan, Mortgage loans, Export credits,"
            "Shareholder loans, Factoring lines, Finance leases, Supplier credits, Customer deposits,"
            "Guarantees issued, Interest rate swaps, Currency forwards, Deferred purchase prices, Overdrafts"
        ),
        _split("Within 1 year, 1 to 5 years, Over 5 years"),
    ),
    Accounts(
        "Provisions",
        _split(
            "Warranties, Onerous contracts, Legal disputes, Restructuring, Dismantling, Site clean-up,"
            "Anniversary bonuses, Early retirement, Holiday pay, Customer refunds, Price adjustments, Audit fees,"
            "Archive costs, Tax risks, Product recalls, Sales bonuses"
        ),
        _split("Opening, Used, Released, Added"),
    ),
    Accounts(
        "Receivables by age",
        _split(
            "Public sector, Automotive clients, Building trade, Food industry, Hospitals, Universities,"
            "Wholesalers, Chain stores, Small traders, Energy suppliers, Rail operators, Airlines, Defence,"
            "Telecoms, Households, Exporters"
        ),
        _split("Not due, Up to 30 days, Up to 90 days, Over 90 days"),
    ),
    Accounts(
        "Related party balances",
        _split(
            "Board members, Former board members, Joint ventures, Associates abroad, Pension trust, Founder family,"
            "Holding company, Sister companies, Employee fund, Advisory council, Close relatives,"
            "Property partnership, Leasing vehicle, Captive insurer"
        ),
        _split("Goods bought, Goods sold, Fees"),
    ),
)
ACCOUNT_HEADINGS = (
    "Primary statements",
    "Notes to the statements",
    "Further disclosures",
    "Supplementary schedules",
    "Detailed schedules",
    "Other disclosures",
    "Explanatory notes",
    "Additional information",
)
ACCOUNT_POINTERS = (
    ("The key matter of the audit was the line “{}”.", "the line that was the key matter of the audit"),
    ("The accounting policy was changed for the line “{}”.", "the line whose accounting policy was changed"),
    (
        "The audit committee asked for a separate paper on the line “{}”.",
        "the line on which a separate paper was asked",
    ),
)

# Notes under a table: what is printed, and what a question asks of it.
NOTES = (
    ("Figures for {} are provisional.", "Which {row} has provisional figures"),
    ("The entry for {} was restated after the audit.", "Which {row} was restated after the audit"),
    ("The entry for {} follows a new method.", "Which {row} follows a new method"),
    ("For {}, part of the data was estimated.", "For which {row} was part of the data estimated"),
)
NOTE_TAILS = (
    "Rounding may lead to small differences.",
    "Source: own records, not reviewed by third parties.",
    "Definitions are given in the reporting manual.",
    "All entries follow the group’s reporting calendar.",
)

SUBJECTS = (
    "The management board",
    "Our teams",
    "The group",
    "Each business unit",
    "The purchasing department",
    "A cross-functional project group",
    "Our engineers",
    "Local management",
    "The planning department",
    "Our partners",
    "A small team of specialists",
    "The works council",
    "Every department",
    "Our long-standing advisers",
)
ACTIONS = (
    "reviewed the priorities for {}",
    "agreed on a common approach to {}",
    "simplified the way in which we handle {}",
    "set clear responsibilities for {}",
    "brought new ideas to {}",
    "tested new tools for {}",
    "shared what has been learned about {}",
    "worked out a plan for {}",
    "gave more room to {}",
    "looked again at {}",
    "kept a close watch on {}",
    "made good progress with {}",
)
TAILS = (
    "and reported on progress at every meeting",
    "without losing sight of what it takes",
    "so that decisions can be taken faster",
    "and the first results are encouraging",
    "together with those who know the work best",
    "because our customers expect nothing less",
    "after a careful look at the alternatives",
    "and will continue on this path",
    "in spite of a demanding environment",
    "while keeping the organisation lean",
    "step by step and with patience",
    "which has proved to be the right choice",
    "as the strategy of the group foresees",
    "and others have taken up the idea",
)
COMMON_THINGS = (
    "supplier relations",
    "learning on the job",
    "digital planning",
    "customer feedback",
    "the health of our people",
    "risk management",
    "data protection",
    "energy saving",
    "young talent",
    "internal communication",
    "stock levels",
    "project work",
)
SUBHEADINGS = (
    "What we have learned",
    "Outlook",
    "Working together",
    "Opportunities and risks",
    "The next steps",
    "Background",
    "In our own words",
    "How we work",
    "Looking ahead",
    "Behind the numbers",
    "Our approach",
    "Measures taken",
    "People and skills",
    "Dialogue with partners",
)
TAGLINES = (
    "Steady in changing times",
    "Building what lasts",
    "Moving with purpose",
    "Closer to our customers",
    "Clear goals, careful steps",
    "Good work, well done",
    "Room for new ideas",
    "Strong roots, open minds",
)
LABELS = {
    "report": ("annual report", "sustainability report", "activity report", "company report"),
    "slides": ("investor presentation", "results presentation", "strategy update", "company briefing"),
    "statement": ("financial statements", "consolidated accounts", "statutory accounts", "financial supplement"),
}
CURRENCIES = ("EUR", "USD", "GBP", "CHF", "NOK", "CAD")


def phrases() -> Iterator[str]:
    """All that can stand in a document, but for names of companies and numbers."""
    waiting: list[Any] = [value for name, value in sorted(globals().items()) if name.isupper()]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, tuple):
            waiting += value
