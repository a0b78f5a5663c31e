from datasets.utils import logging as logging
